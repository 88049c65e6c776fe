"""What a transaction over a dataset's files keeps on disk.

```
<dataset>/.pistar_vf/
    lock                        see dataset_lock
    open.json                   the journal of a change that has begun and not ended; there is at most one
    transactions/<id>/
        journal.json            there once all files are in place: the transaction is committed
        old/…                   the files as they were
        new/…                   the files that take their place, until they do
```

A journal moves from one place to the other by renaming, so that a transaction is always in exactly one state. A
folder without a journal belongs to a change that never began or that was taken back: it can be deleted.
"""

import dataclasses
import json
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pistar_vf.changes.durable_files import sha256, sync, write_durably
from pistar_vf.changes.lock import CONTROL_FOLDER
from pistar_vf.errors import DatasetError

_OPEN = "open.json"
_COMMITTED = "journal.json"


@dataclasses.dataclass(frozen=True)
class FileState:
    """Content of a file: its digest, and its size in bytes."""

    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class FileChange:
    """One file of a transaction.

    Attributes:
        path: relative to the dataset, with slashes.
        old: the content before; None for a file that was not there.
        new: the content after.
    """

    path: str
    old: FileState | None
    new: FileState


@dataclasses.dataclass(frozen=True)
class Journal:
    """A transaction: everything that is needed to finish it or to take it back.

    Attributes:
        id: name of its folder; ids sort in the order of the transactions.
        direction: "forward" while the new files are put in place, "back" while the old ones are.
        created: when, in UTC.
        command: what the user ran.
        purpose: in a few words.
        summary: where the new content comes from, as the writer described it.
        files: what changes.
        folders: folders, relative to the dataset, that the transaction creates; outer ones first.
    """

    id: str
    direction: Literal["forward", "back"]
    created: str
    command: str
    purpose: str
    summary: Mapping[str, Any]
    files: tuple[FileChange, ...]
    folders: tuple[str, ...]

    @property
    def backup_bytes(self) -> int:
        """Disk space that the old files take."""
        return sum(change.old.size for change in self.files if change.old is not None)


def check_no_open_transaction(root: Path) -> None:
    """Refuses a dataset some of whose files are old and some new; costs one look at the disk.

    Raises:
        DatasetError: a change is being made, or was interrupted; says what to do.
    """
    if (root / CONTROL_FOLDER / _OPEN).exists():
        raise DatasetError(
            f"{root}: a change of this dataset has begun and not ended. If a program is writing to it, wait for it. If "
            f"it was killed, run `pistar-vf undo --data_dir {shlex.quote(str(root))}` to take the change back, or the "
            "same with --recover to finish it"
        )


def transactions_folder(root: Path) -> Path:
    """Where the folders of all transactions of a dataset are."""
    return root / CONTROL_FOLDER / "transactions"


def transaction_folder(root: Path, transaction_id: str) -> Path:
    """Where one transaction keeps `old/`, `new/` and its journal."""
    return transactions_folder(root) / transaction_id


def file_state(path: Path) -> FileState | None:
    """Digest and size of a file; None where there is none."""
    return FileState(sha256(path), path.stat().st_size) if path.is_file() else None


def history(root: Path) -> list[Journal]:
    """The committed transactions of a dataset, oldest first.

    Raises:
        DatasetError: a journal is damaged.
    """
    return [_read(path) for path in sorted(transactions_folder(root).glob(f"*/{_COMMITTED}"))]


def open_journal(root: Path) -> Journal | None:
    """The change that has begun and not ended, if there is one.

    Raises:
        DatasetError: its journal is damaged.
    """
    path = root / CONTROL_FOLDER / _OPEN
    return _read(path) if path.exists() else None


def begin(root: Path, journal: Journal) -> None:
    """Writes the journal down: from here on the change is finished or taken back, whatever happens."""
    content = json.dumps(dataclasses.asdict(journal), indent=1, ensure_ascii=False)
    temporary = transaction_folder(root, journal.id) / "journal.tmp"
    write_durably(root / CONTROL_FOLDER / _OPEN, content, temporary)


def end_forward(root: Path, journal: Journal) -> None:
    """The new files are in place: the transaction becomes part of the history."""
    folder = transaction_folder(root, journal.id)
    os.replace(root / CONTROL_FOLDER / _OPEN, folder / _COMMITTED)
    sync(folder)
    sync(root / CONTROL_FOLDER)
    shutil.rmtree(folder / "new", ignore_errors=True)  # only empty folders; what is done is done


def end_back(root: Path, journal: Journal) -> None:
    """The old files are in place: the transaction disappears, from the history first."""
    forget(root, journal.id)
    (root / CONTROL_FOLDER / _OPEN).unlink()
    sync(root / CONTROL_FOLDER)
    shutil.rmtree(transaction_folder(root, journal.id))


def forget(root: Path, transaction_id: str) -> None:
    """Takes a transaction out of the history; its folder stays, as one that can be deleted."""
    folder = transaction_folder(root, transaction_id)
    (folder / _COMMITTED).unlink(missing_ok=True)
    sync(folder)


def left_overs(root: Path) -> list[Path]:
    """Folders of transactions that are neither open nor committed."""
    folders = sorted(transactions_folder(root).glob("*"))
    return [folder for folder in folders if not (folder / _COMMITTED).exists()]


def _read(path: Path) -> Journal:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        files = tuple(_change(entry) for entry in fields["files"])
        return Journal(**{**fields, "files": files, "folders": tuple(fields["folders"])})
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected the journal of a transaction, got something else ({error}); the files that transactions "
            f"replaced are in {CONTROL_FOLDER}/transactions/<id>/old: put back what you need, then delete the journal"
        ) from error


def _change(entry: Mapping[str, Any]) -> FileChange:
    old = None if entry["old"] is None else FileState(**entry["old"])
    return FileChange(entry["path"], old, FileState(**entry["new"]))
