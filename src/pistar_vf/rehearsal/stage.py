"""The process that runs code of checkouts: one line asks, one line answers, each from a process of its own."""

import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from pistar_vf.faults.finding import Finding
from pistar_vf.faults.source_tree import SourceTree, TreeError
from pistar_vf.rehearsal.closing import close_in
from pistar_vf.rehearsal.rehearsals import REHEARSALS
from pistar_vf.rehearsal.seen import Seen, in_both_worlds
from pistar_vf.rehearsal.world import compiled

_LONGEST = 1 << 20
_NOTHING: dict[str, Any] = {"seen": None, "read": []}


class _NotedTree(SourceTree):
    """A checkout of which the files that were read are known."""

    def __init__(self, root: Path, changed: dict[str, bytes | None]):
        super().__init__(root, changed)
        self.noted: dict[str, None] = {}

    def read(self, file: str) -> bytes | None:
        """A file's content, or None."""
        self.noted[file] = None
        return super().read(file)


def main() -> None:
    """Answers until nobody asks any more."""
    for line in sys.stdin:
        request = json.loads(line)
        changed = {file: None if text is None else text.encode("latin-1") for file, text in request["changed"].items()}
        tree = _NotedTree(Path(request["root"]), changed)
        answer = _answer(tree, request["question"], request["fields"])
        print(json.dumps(answer["seen"]), flush=True)
        _compile_again(tree, answer["read"])


def _answer(tree: _NotedTree, question: str, fields: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own says; nothing where it was ended, or was refused what it tried."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        _rehearse(tree, question, fields, theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read(_LONGEST)
    os.waitpid(child, 0)
    try:
        answer = json.loads(said)
        if answer["seen"] is not None:
            Seen(Finding(**answer["seen"]["finding"]), frozenset(answer["seen"]["ran"]))
        return {"seen": answer["seen"], "read": [str(each) for each in answer["read"]]}
    except (ValueError, TypeError, KeyError):
        return _NOTHING


def _rehearse(tree: _NotedTree, question: str, fields: dict[str, Any], out: int) -> NoReturn:
    try:
        _leave_all_but(out)
        refused = close_in(tree.root)
        seen = in_both_worlds(tree, lambda world: REHEARSALS[question](world, **fields))
        told = None if seen is None or refused else dataclasses.asdict(seen) | {"ran": sorted(seen.ran)}
        os.write(out, json.dumps({"seen": told, "read": list(tree.noted)}).encode())
    finally:
        os._exit(0)


def _leave_all_but(out: int) -> None:
    """Gives away every file that is open: what runs here shall not ask, answer or print."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.closerange(3, out)
    os.closerange(out + 1, 256)


def _compile_again(tree: SourceTree, files: list[str]) -> None:
    """Makes files ready that were just run, so that the next question does not have to; compiling runs nothing."""
    for file in files:
        with contextlib.suppress(SyntaxError, ValueError, TreeError):  # it may have changed since
            source = tree.read(file) if file.endswith(".py") else None
            if source is not None:
                compiled(file, source)
