"""Copies of the small fork on which somebody has worked."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_edits(root: Path, edits: Sequence[Sequence[str]]) -> None:
    """Makes edits, each (file, old text, new text); without old text the file is new."""
    for file, old, new in edits:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if old else ""
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new) if old else new)


def packs(entries: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Entries that are told apart by the files that their edits touch, as many as go together in one copy."""
    packed: list[list[Mapping[str, Any]]] = []
    for entry in entries:
        files = {file for file, _, _ in entry["edits"]}
        room = (pack for pack in packed if not files & {file for each in pack for file, _, _ in each["edits"]})
        pack = next(room, None)
        if pack is None:
            packed.append(pack := [])
        pack.append(entry)
    return packed
