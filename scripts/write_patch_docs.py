#!/usr/bin/env python3
"""Write docs/patches.md from the patch files."""

import argparse
from pathlib import Path

from pistar_vf.patching.documentation import read_entries, read_observed, render
from pistar_vf.patching.patch_file import load_patches

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "patches.md"


def main() -> None:
    """Writes the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    folder = ROOT / "patches"
    idioms, copies = (read_entries(folder / name) for name in ("idioms.toml", "drifted_copies.toml"))
    page = render(load_patches(), read_observed(folder / "published_trees.toml"), idioms, copies)
    PAGE.write_text(page, encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
