"""Copies of the small fork on which somebody has worked."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pistar_vf.patching.patch_file import load_patches


def write_edits(root: Path, edits: Sequence[Sequence[str]]) -> None:
    """Makes edits, each (file, old text, new text); without old text the file is new."""
    for file, old, new in edits:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if old else ""
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new) if old else new)


def packs(entries: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Entries whose edits touch different files, of patches of which none comes after another, in as few copies."""
    packed: list[list[Mapping[str, Any]]] = []
    for entry in entries:
        files = {file for file, _, _ in entry["edits"]}
        room = (pack for pack in packed if not files & {file for each in pack for file, _, _ in each["edits"]})
        pack = next((pack for pack in room if not any(_related(entry, each) for each in pack)), None)
        if pack is None:
            packed.append(pack := [])
        pack.append(entry)
    return packed


_AFTER = {patch.id: {patch.id, *patch.after} for patch in load_patches()}


def _related(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return first["patch"] in _AFTER[second["patch"]] or second["patch"] in _AFTER[first["patch"]]
