#!/usr/bin/env python3
"""Write docs/patches.md from the patch files."""

import argparse
from pathlib import Path

from pistar_vf.patching.documentation import read_observed, render
from pistar_vf.patching.patch_file import load_patches

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "patches.md"


def main() -> None:
    """Writes the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    page = render(load_patches(), read_observed(ROOT / "patches" / "published_trees.toml"))
    PAGE.write_text(page, encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
