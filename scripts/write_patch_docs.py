#!/usr/bin/env python3
"""Write docs/patches.md from the patch files."""

import argparse
from pathlib import Path

from pistar_vf.patching.documentation import read_idioms, read_observed, render
from pistar_vf.patching.patch_file import load_patches

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "patches.md"


def main() -> None:
    """Writes the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    folder = ROOT / "patches"
    observed, idioms = read_observed(folder / "published_trees.toml"), read_idioms(folder / "idioms.toml")
    page = render(load_patches(), observed, idioms)
    PAGE.write_text(page, encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
