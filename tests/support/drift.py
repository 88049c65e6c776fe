"""Copies of the small fork on which somebody has worked."""

from collections.abc import Sequence
from pathlib import Path


def write_edits(root: Path, edits: Sequence[Sequence[str]]) -> None:
    """Makes edits, each (file, old text, new text); without old text the file is new."""
    for file, old, new in edits:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if old else ""
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new) if old else new)
