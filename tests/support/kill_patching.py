"""SIGKILL before every operation on files of applying and of taking back; a process of its own, started by a test.

Oracle: the bytes of the checkout before, and after an undisturbed run.
"""

import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.journal import read_journal, write_step
from pistar_vf.patching.patch_file import load_patches, select
from pistar_vf.patching.plan import make_plan
from pistar_vf.patching.taking_back import revert
from pistar_vf.patching.writing import FOLDER
from support.kill_transaction import killed
from support.mini_upstream import write_mini_upstream

Files = dict[str, bytes]


def contents(root: Path) -> Files:
    files = (path for path in root.rglob("*") if path.is_file() and FOLDER not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def kill_everywhere(
    source: Path, action: Callable[[Path], object], whole: dict[str, set[bytes | None]], start: Files
) -> int:
    """Kills an action before each of its operations; every file is whole, and taking back leads to the start."""
    work = source.with_name("work")
    for operation in itertools.count(1):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(source, work)
        if not killed(lambda: action(work), operation=operation):
            return operation - 1
        where = f"{action.__name__} killed at {operation}"
        for name, data in contents(work).items():
            assert data in whole.get(name, {start.get(name)}), f"{where}: {name} is half"
        if read_journal(work):
            revert(work)
        assert contents(work) == start, f"{where}: {sorted(contents(work).items() ^ start.items())}"
    raise AssertionError


def main(folder: Path) -> None:
    os.fsync = lambda _: None  # a kill, unlike a power cut, leaves what was written
    fork, patched = write_mini_upstream(folder / "fork"), folder / "patched"
    plan = make_plan(select(load_patches(), "2,6,12,13b,16"), SourceTree(fork))

    def apply(root: Path) -> None:
        for step in plan:
            write_step(root, step)

    whole: dict[str, set[bytes | None]] = {}
    for step in plan:
        for file, pair in step.changes.items():
            whole.setdefault(file, set()).update(pair)
    start = contents(fork)
    shutil.copytree(fork, patched)
    apply(patched)
    counts = [kill_everywhere(fork, apply, whole, start), kill_everywhere(patched, revert, whole, start)]
    assert min(counts) > 20
    print(f"killed at each of {counts[0]} operations of applying, and of {counts[1]} of taking back")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
