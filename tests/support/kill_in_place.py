"""SIGKILL at 50 random moments of `write_in_place`; a process of its own, started by a test.

Oracle: the dataset's bytes before, and after an undisturbed run.
"""

import os
import random
import shutil
import sys
from pathlib import Path

import numpy as np

from pistar_vf.changes.journal import history
from pistar_vf.changes.recovery import recover, undo
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.label import NEGATIVE, POSITIVE, Labels
from pistar_vf.relabel.write import NewWords, write_in_place
from support.folders import contents
from support.kill_transaction import killed

KILLS = 50


def relabel(root: Path) -> None:
    dataset = load_lerobot(root)
    code = np.random.default_rng(0).choice([NEGATIVE, POSITIVE], dataset.num_frames).astype(np.int8)
    labels = Labels(code, np.zeros(dataset.num_frames), np.zeros(1))
    write_in_place(dataset, NewWords.of(dataset, labels, "adv_ind"), {"test": True}, progress=False)


def count_operations(root: Path) -> int:
    """By doubling and halving: the first operation number that is never reached."""
    low, high = 1, 64
    while attempt(root, high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if attempt(root, middle) else (low, middle)
    return low


def attempt(root: Path, operation: int) -> bool:
    work = root.with_name("work")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(root, work, copy_function=os.link)
    return killed(lambda: relabel(work), operation=operation)


def main(source: Path, folder: Path) -> None:
    os.fsync = lambda _: None  # a kill, unlike a power cut, leaves what was written
    root, work = folder / "root", folder / "work"
    shutil.copytree(source, root)
    before = contents(root)
    assert not attempt(root, 10**9)
    after = contents(work)
    assert after != before
    last = count_operations(root)
    rng, seen = random.Random(0), {"before": 0, "after": 0}
    for _ in range(KILLS):
        operation = rng.randint(1, last)
        assert attempt(root, operation)
        recover(work)
        found = contents(work)
        assert found in (before, after), f"killed at {operation} of {last}"
        seen["before" if found == before else "after"] += 1
        if history(work):
            undo(work)
        assert contents(work) == before, f"killed at {operation} of {last}, then undo"
        assert contents(root) == before  # other names of the same files
    print(f"{KILLS} kills among {last} operations: {seen}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
