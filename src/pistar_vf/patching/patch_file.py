"""One numbered repair of upstream, as its file in `patches/` declares it.

What a file holds: `id`, `title`, `symptom` (errors as Python prints them), `cause`, `by_hand`, `verify`, `stage`;
`after` (ids that come first), `bites` (its place in the order in which the errors come up), `optional`; `reads` (files
that must be there); `[fault]` (a question and its fields, see `questions`); `[names]` (what upstream calls the parts
that edits write as `<part>`); `[[edit]]` (see `edits`; `file` may name several, `if_named` a part without which
the edit is left out). No file quotes upstream: anchors are names in its syntax trees.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pistar_vf.errors import PistarError

_BESIDE = Path(__file__).resolve()
_FOLDERS = (_BESIDE.parents[1] / "patches", _BESIDE.parents[3] / "patches")
"""In an installed package, and in a checkout."""


class PatchError(PistarError):
    """A patch that cannot be applied or taken back; nothing was written."""


@dataclasses.dataclass(frozen=True)
class Patch:
    """One repair.

    Attributes:
        id: its number, such as "13a".
        symptom: the errors that it cures, as Python prints them.
        by_hand: what to do where the edits find no hold.
        verify: how to see that the fault is gone.
        stage: the smallest stage that shows the fault, "imports", "train" or "label"; "" for none of them.
        reads: the files that must be there and be valid Python, for the fault to be judged.
        fault: `question` and its fields.
        names: what upstream calls the parts that edits hold on to.
        edits: operation `do` and its fields, in order.
        after: patches that come first.
        bites: its place in the order in which the errors come up; 0 for faults that do not stop Stage 4.
        optional: whether the stages run without it (on one device, with cameras of other names, only slower).
        folder: holds the files that edits name.
    """

    id: str
    title: str
    symptom: tuple[str, ...]
    cause: str
    by_hand: str
    verify: str
    stage: str
    reads: tuple[str, ...]
    fault: Mapping[str, Any]
    names: Mapping[str, str]
    edits: tuple[Mapping[str, Any], ...]
    after: tuple[str, ...]
    bites: int
    optional: bool
    folder: Path

    @property
    def files(self) -> tuple[str, ...]:
        """The files (or folders, for a package) of upstream that the edits touch."""
        return tuple(dict.fromkeys(file for edit in self.edits for file in filled(edit["file"], self.names).split()))


def load_patches(folder: Path | None = None) -> tuple[Patch, ...]:
    """All patches by number, each behind those in its `after`.

    Args:
        folder: the files; default: the library's own.
    """
    folder = folder or next(path for path in _FOLDERS if path.is_dir())
    waiting = sorted(map(_load, folder.glob("[0-9L]*.toml")), key=lambda patch: number(patch.id))
    ordered: list[Patch] = []
    while waiting:
        done = {patch.id for patch in ordered}
        ordered.append(next(patch for patch in waiting if done.issuperset(patch.after)))
        waiting.remove(ordered[-1])
    return tuple(ordered)


def _load(path: Path) -> Patch:
    with path.open("rb") as file:
        fields = tomllib.load(file)
    return Patch(
        id=fields.pop("id"),
        title=fields.pop("title"),
        symptom=tuple(fields.pop("symptom")),
        cause=fields.pop("cause").strip(),
        by_hand=fields.pop("by_hand").strip(),
        verify=fields.pop("verify").strip(),
        stage=fields.pop("stage"),
        reads=tuple(fields.pop("reads")),
        fault=fields.pop("fault"),
        names=fields.pop("names", {}),
        edits=tuple(fields.pop("edit")),
        after=tuple(fields.pop("after", ())),
        bites=fields.pop("bites", 0),
        optional=fields.pop("optional", False),
        folder=path.parent,
        **fields,  # none is left: another name is a mistake in the file
    )


def number(name: str) -> tuple[int, int, str]:
    """1, 2, …, 13a, 13b, …, then L1, L2, …"""
    parts = re.fullmatch(r"([A-Z]?)(\d+)([a-z]?)", name)
    assert parts, name
    letter, digits, suffix = parts.groups()
    return (bool(letter), int(digits), suffix)


def filled(text: str, names: Mapping[str, str]) -> str:
    """A text with the names of a tree in the place of `<part>`; a part without a name stays."""
    for part, name in names.items():
        text = text.replace(f"<{part}>", name)
    return text


def select(patches: tuple[Patch, ...], only: str) -> tuple[Patch, ...]:
    """The patches of a list such as "3,13a", in order, with those that come first; all for "".

    Raises:
        PatchError: an id does not exist.
    """
    wanted = {name.strip() for name in only.split(",") if name.strip()}
    known = {patch.id: patch for patch in patches}
    if unknown := sorted(wanted - set(known)):
        raise PatchError(f"--only: expected ids of patches ({', '.join(known)}), got {', '.join(unknown)}")
    for patch in reversed(patches):
        wanted |= set(patch.after) if patch.id in wanted else set()
    return tuple(patch for patch in patches if patch.id in wanted) if wanted else patches
