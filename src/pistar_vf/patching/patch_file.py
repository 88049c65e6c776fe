"""One numbered repair of upstream, as its file in `patches/` declares it.

What a file holds: `id`, `title`, `symptom` (errors as Python prints them), `cause`, `by_hand`; `after` (ids that come
first) and `bites` (its place in the order in which the errors come up); `[[when.applicable]]` and `[[when.needed]]`
(see `checks`); `[[edit]]` (see `plan`). No file quotes upstream: anchors are names in its syntax trees.
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
        applicable: checks that all hold where the patch has something to do with a tree.
        needed: checks that all hold while the fault is in a tree.
        edits: operation `do` and its fields, in order.
        after: patches that come first.
        bites: its place in the order in which the errors come up; 0 for faults that do not stop the documented runs.
        folder: holds the files that edits name.
    """

    id: str
    title: str
    symptom: tuple[str, ...]
    cause: str
    by_hand: str
    applicable: tuple[Mapping[str, Any], ...]
    needed: tuple[Mapping[str, Any], ...]
    edits: tuple[Mapping[str, Any], ...]
    after: tuple[str, ...]
    bites: int
    folder: Path

    @property
    def files(self) -> tuple[str, ...]:
        """The files (or folders, for a package) of upstream that the edits touch."""
        return tuple(dict.fromkeys(edit["file"] for edit in self.edits))


def load_patches(folder: Path | None = None) -> tuple[Patch, ...]:
    """All patches by number, each behind those in its `after`.

    Args:
        folder: the files; default: the library's own.
    """
    folder = folder or next(path for path in _FOLDERS if path.is_dir())
    waiting = sorted(map(_load, folder.glob("[0-9L]*.toml")), key=lambda patch: _number(patch.id))
    ordered: list[Patch] = []
    while waiting:
        done = {patch.id for patch in ordered}
        ordered.append(next(patch for patch in waiting if done.issuperset(patch.after)))
        waiting.remove(ordered[-1])
    return tuple(ordered)


def _load(path: Path) -> Patch:
    with path.open("rb") as file:
        fields = tomllib.load(file)
    when = fields.pop("when")
    return Patch(
        id=fields.pop("id"),
        title=fields.pop("title"),
        symptom=tuple(fields.pop("symptom")),
        cause=fields.pop("cause").strip(),
        by_hand=fields.pop("by_hand").strip(),
        applicable=tuple(when["applicable"]),
        needed=tuple(when["needed"]),
        edits=tuple(fields.pop("edit")),
        after=tuple(fields.pop("after", ())),
        bites=fields.pop("bites", 0),
        folder=path.parent,
        **fields,  # none is left: another name is a mistake in the file
    )


def _number(name: str) -> tuple[int, int, str]:
    """1, 2, …, 13a, 13b, …, then L1, L2, …"""
    letter, digits, suffix = re.fullmatch(r"([A-Z]?)(\d+)([a-z]?)", name).groups()
    return (bool(letter), int(digits), suffix)


def select(patches: tuple[Patch, ...], only: str) -> tuple[Patch, ...]:
    """The patches of a list such as "3,13a", in order; all for "".

    Raises:
        PatchError: an id does not exist.
    """
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    known = {patch.id for patch in patches}
    if unknown := [name for name in wanted if name not in known]:
        ids = ", ".join(patch.id for patch in patches)
        raise PatchError(f"--only: expected ids of patches ({ids}), got {', '.join(unknown)}")
    return tuple(patch for patch in patches if patch.id in wanted) if wanted else patches
