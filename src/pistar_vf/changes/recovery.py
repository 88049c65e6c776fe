"""Taking a change of a dataset back, and finishing one that was interrupted.

Replacing many files cannot be one atomic step: a kill in the midst leaves some old and some new. The journal makes up
for it. The next writer, `recover` or `undo` brings the dataset to one side, and until then `load_lerobot` refuses it.
A program that opened the dataset before may meet both kinds of files. (Exchanging the whole folder for a new one would
be a single step, but needs to write beside the dataset and breaks programs that work in it.)

An interrupted change goes forward if everything it needs is intact, and back otherwise.
"""

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pistar_vf.changes import journal as journals
from pistar_vf.changes.durable_files import sync_all
from pistar_vf.changes.journal import FileChange, FileState, Journal
from pistar_vf.changes.lock import dataset_lock
from pistar_vf.errors import ConfigError, DatasetError

_logger = logging.getLogger(__name__)

_SENTENCES = {
    "finished": "finished the interrupted transaction {id}: all of its files are in place",
    "taken back": "took back transaction {id}: its files are as they were before",
    "discarded": "deleted what was left of transaction {id}, which was not replacing files",
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one transaction; `str` of it is a sentence."""

    id: str
    what: Literal["finished", "taken back", "discarded"]

    def __str__(self) -> str:
        return _SENTENCES[self.what].format(id=self.id)


def recover(root: str | Path, *, force: bool = False) -> Outcome | None:
    """Finishes an interrupted change, or takes it back where it cannot be finished.

    To be called before a dataset is loaded that will be written to; costs one look at the disk if all is well.

    Args:
        root: the dataset's folder.
        force: overwrites files that somebody edited after the interruption.

    Returns:
        What was done, None if nothing was to do.

    Raises:
        DatasetError: somebody is writing to the dataset, or edited or damaged files of the transaction.
    """
    root = Path(root).resolve()
    if journals.open_journal(root) is None:
        return None
    with dataset_lock(root, "recovery"):
        return settle(root, force=force)


def undo(root: str | Path, *, steps: int = 1, force: bool = False) -> list[Outcome]:
    """Restores the files that the last transaction replaced, byte for byte, and removes those that it created.

    Safe to kill and to repeat: an undo, or a change, that was interrupted is dealt with first. If that takes the
    change back, it counts as one step.

    Args:
        root: the dataset's folder.
        steps: how many transactions to take back, the last one first.
        force: overwrites files that somebody edited since.

    Returns:
        What became of each transaction.

    Raises:
        ConfigError: `steps` is not positive.
        DatasetError: there are fewer transactions, somebody is writing to the dataset, files were edited since the
            transaction, or backups are damaged. Earlier steps remain done.
    """
    root = Path(root).resolve()
    if steps < 1:
        raise ConfigError(f"expected steps >= 1 (--steps), got {steps}")
    if not journals.transactions_folder(root).is_dir():
        raise DatasetError(f"{root}: expected a transaction to undo, but there is none: nothing was changed in place")
    with dataset_lock(root, "undo"):
        settled = settle(root, force=force)
        done = [] if settled is None or settled.what == "finished" else [settled]
        committed = journals.history(root)
        if steps - len(done) > len(committed):
            raise DatasetError(f"{root}: expected {steps} transactions to undo, but there are only {len(committed)}")
        return done + [_undo(root, journal, force) for journal in committed[::-1][: steps - len(done)]]


def purge(root: str | Path) -> int:
    """Deletes all backups, after which nothing can be undone.

    Returns:
        How many bytes the backups took.

    Raises:
        DatasetError: somebody is writing to the dataset, or an interrupted change cannot be finished.
    """
    root = Path(root).resolve()
    if not journals.transactions_folder(root).is_dir():
        return 0
    with dataset_lock(root, "purge"):
        settle(root)
        committed = journals.history(root)
        for journal in committed:  # the oldest first: what a kill leaves can still be undone
            journals.forget(root, journal.id)
            shutil.rmtree(journals.transaction_folder(root, journal.id))
    return sum(journal.backup_bytes for journal in committed)


def settle(root: Path, *, force: bool = False) -> Outcome | None:
    """`recover` for who holds the lock; also deletes what transactions that never began have left."""
    outcome = None
    if (journal := journals.open_journal(root)) is not None:
        outcome = _finish(root, journal, force)
    for folder in journals.left_overs(root):
        shutil.rmtree(folder)
        outcome = outcome or Outcome(folder.name, "discarded")
    return outcome


def put_in_place(root: Path, journal: Journal) -> None:
    """Replaces the old files by the new ones that are still waiting, then commits."""
    new = journals.transaction_folder(root, journal.id) / "new"
    for folder in journal.folders:
        (root / folder).mkdir(exist_ok=True)
    for change in journal.files:
        if (new / change.path).exists():
            os.replace(new / change.path, root / change.path)
    _sync_folders(root, journal)
    journals.end_forward(root, journal)


def take_back(root: Path, journal: Journal) -> None:
    """Puts the old files back where new ones are in place, and removes what the transaction created."""
    journals.begin(root, dataclasses.replace(journal, direction="back"))
    folder = journals.transaction_folder(root, journal.id)
    old, new = folder / "old", folder / "new"
    placed = [change for change in journal.files if not (new / change.path).exists()]
    for change in placed:
        if change.old is None:
            (root / change.path).unlink(missing_ok=True)
        elif (old / change.path).exists():
            os.replace(old / change.path, root / change.path)
    for created in reversed(journal.folders):
        with contextlib.suppress(OSError):  # gone already, or somebody put files there
            (root / created).rmdir()
    _sync_folders(root, journal)
    journals.end_back(root, journal)


def _sync_folders(root: Path, journal: Journal) -> None:
    changed = {(root / path).parent for path in (*journal.folders, *(change.path for change in journal.files))}
    sync_all(sorted(changed))


def _finish(root: Path, journal: Journal, force: bool) -> Outcome:
    found = {change: journals.file_state(root / change.path) for change in journal.files}
    edited = [change.path for change in journal.files if found[change] not in (change.old, change.new)]
    _refuse_edited(root, journal, [] if force else edited)
    new = journals.transaction_folder(root, journal.id) / "new"
    intact = all(change.new in (found[change], journals.file_state(new / change.path)) for change in journal.files)
    if journal.direction == "forward" and intact:
        try:
            put_in_place(root, journal)
            return Outcome(journal.id, "finished")
        except OSError as error:  # a folder that cannot be written to, say: what began must still come to an end
            _logger.warning("%s: cannot finish transaction %s (%s); taking it back", root, journal.id, error)
            return _finish(root, dataclasses.replace(journal, direction="back"), force)
    _check_backups(root, journal, found)
    take_back(root, journal)
    return Outcome(journal.id, "taken back")


def _undo(root: Path, journal: Journal, force: bool) -> Outcome:
    found = {change: journals.file_state(root / change.path) for change in journal.files}
    edited = [change.path for change in journal.files if found[change] != change.new]
    _refuse_edited(root, journal, [] if force else edited)
    _check_backups(root, journal, found)
    take_back(root, journal)
    return Outcome(journal.id, "taken back")


def _refuse_edited(root: Path, journal: Journal, edited: Sequence[str]) -> None:
    if edited:
        raise DatasetError(
            f"{root}: expected the files as transaction {journal.id} left them, but {len(edited)} changed since: "
            f"{_some(edited)}; keep a copy of what you need, then pass --force to lose these changes"
        )


def _check_backups(root: Path, journal: Journal, found: Mapping[FileChange, FileState | None]) -> None:
    old = journals.transaction_folder(root, journal.id) / "old"
    needed = [change for change in journal.files if change.old is not None and found[change] != change.old]
    if damaged := [change.path for change in needed if journals.file_state(old / change.path) != change.old]:
        raise DatasetError(
            f"{root}: expected intact backups of transaction {journal.id} in {old}, but {len(damaged)} are damaged or "
            f"missing: {_some(damaged)}; put these files into the dataset from another copy, then run this again"
        )


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:10]) + (", …" if len(paths) > 10 else "")
