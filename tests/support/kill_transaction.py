"""Kills transactions, undos and recoveries at every operation on files; a process of its own, started by a test.

The kill is SIGKILL, just before the n-th operation that Python's audit events tell of, for every n. Oracle: snapshots
of the folder made without any kill.
"""

import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pistar_vf.changes.journal import check_no_open_transaction, left_overs, open_journal, transactions_folder
from pistar_vf.changes.recovery import recover, undo
from pistar_vf.changes.transaction import Transaction

OPERATIONS = {"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree"}
CHANGED = ["meta/info.json", *(f"data/{i}.parquet" for i in range(5))]
CREATED = ["meta/notes.json", "new/deep/folder/file.txt"]
Snapshot = dict[str, bytes]


def create(root: Path) -> None:
    for name in [*CHANGED, "videos/0.mp4", "README.md"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"original {name}")


def write(root: Path, text: str, names: list[str]) -> None:
    with Transaction(root, "test", progress=False) as transaction:
        for name in names:
            transaction.stage(name).write_text(f"{text} {name}")
        transaction.commit()


def change(root: Path) -> None:
    write(root, "changed", [*CHANGED, *CREATED])


def snapshot(root: Path) -> Snapshot:
    """Every file and folder of the dataset, without the backups."""
    paths = [path for path in root.rglob("*") if ".pistar_vf" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else b"folder" for path in paths}


def killed(action: Callable[[], object], *, operation: int | None = None, seconds: float | None = None) -> bool:
    """Runs an action in a child that is killed before an operation or after a time; False if it ended before."""
    if (child := os.fork()) == 0:
        if operation is not None:
            counter = itertools.count(1)

            def hook(event: str, _: tuple) -> None:
                if event in OPERATIONS and next(counter) == operation:
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
        action()
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"the child failed: {status}"
    return os.WIFSIGNALED(status)


class Killer:
    """One folder that is restored before each kill, and what it must look like."""

    def __init__(self, folder: Path):
        self.pristine, self.changed = folder / "pristine", folder / "changed"
        self.root, self.copy = folder / "root", folder / "copy"
        create(self.pristine)
        self.start = snapshot(self.pristine)
        write(self.pristine, "first", CHANGED[:2])  # an earlier transaction, which nothing may take back by mistake
        shutil.copytree(self.pristine, self.changed)
        change(self.changed)
        self.before, self.after = snapshot(self.pristine), snapshot(self.changed)
        self.outcomes = {"before": 0, "after": 0}

    def restore(self, source: Path) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(source, self.root)

    def check_recovered(self, where: str) -> None:
        """Recovery makes the dataset as before or as after; undo, without it, as before, and then as at the start."""
        begun = bool(list(transactions_folder(self.root).glob("000002-*")))
        journal = open_journal(self.root)
        goes_forward = journal is not None and journal.direction == "forward"
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.root, self.copy)
        recover(self.root)
        check_no_open_transaction(self.root)
        found = snapshot(self.root)
        possible = [self.after] if goes_forward else [self.before, self.after] if begun else [self.before]
        assert found in possible, f"{where}: {sorted(found.items())}"
        self.outcomes["before" if found == self.before else "after"] += 1
        for expected in (self.before, self.start) if begun else (self.start,):
            undo(self.copy)
            assert snapshot(self.copy) == expected, f"{where}, then undo: {sorted(snapshot(self.copy).items())}"
            assert left_overs(self.copy) == []

    def kill_everywhere(self, source: Path, action: Callable[[Path], object]) -> int:
        """Kills before every operation; returns how many there are."""
        for operation in itertools.count(1):
            self.restore(source)
            if not killed(lambda: action(self.root), operation=operation):
                return operation - 1
            self.check_recovered(f"{action.__name__} killed at {operation}")
        raise AssertionError

    def kill_recoveries(self, every: int) -> int:
        """Kills a transaction at some of its operations, and the recovery from that at each of its own."""
        kills = 0
        for first in itertools.count(1, every):
            for second in itertools.count(1):
                self.restore(self.pristine)
                if not killed(lambda: change(self.root), operation=first):
                    return kills
                if not killed(lambda: recover(self.root), operation=second):
                    break
                self.check_recovered(f"change killed at {first}, recovery at {second}")
                kills += 1
        raise AssertionError

    def kill_at_random(self, number: int) -> int:
        """Kills wherever the child is by then: between operations, within a write."""
        duration = min(self.duration() for _ in range(3))
        rng, kills = random.Random(0), 0
        for _ in range(number):
            self.restore(self.pristine)
            kills += killed(lambda: change(self.root), seconds=rng.uniform(0, duration))
            self.check_recovered("random kill")
        return kills

    def duration(self) -> float:
        self.restore(self.pristine)
        start = time.monotonic()
        killed(lambda: change(self.root))
        return time.monotonic() - start


def main(folder: Path) -> None:
    os.fsync = lambda _: None  # only a loss of power needs it; without it the test is ten times as fast
    killer = Killer(folder)
    report = {
        "transaction": killer.kill_everywhere(killer.pristine, change),
        "undo": killer.kill_everywhere(killer.changed, undo),
        "recovery": killer.kill_recoveries(every=17),
        "random": killer.kill_at_random(10),
    }
    print(json.dumps({**report, **killer.outcomes, "jax": "jax" in sys.modules}))


if __name__ == "__main__":
    in_memory = "/dev/shm"  # thousands of folders come and go: where a disk is busy, that takes a minute
    with tempfile.TemporaryDirectory(dir=in_memory if os.access(in_memory, os.W_OK) else None) as name:
        main(Path(name))
