"""Replaces files of a dataset all or none, with backups that `undo` restores.

All backups are kept until `purge`, so a dataset grows by the size of the files that each transaction replaces
(labels: the tables, never the videos). What a kill leaves, and what repairs it, is described in `recovery`.
"""

import datetime
import logging
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pistar_vf.changes import journal as journals
from pistar_vf.changes.durable_files import sync
from pistar_vf.changes.journal import FileChange, Journal
from pistar_vf.changes.lock import CONTROL_FOLDER, command_line, dataset_lock
from pistar_vf.changes.recovery import put_in_place, settle, take_back
from pistar_vf.changes.staging import link_or_copy
from pistar_vf.errors import DatasetError
from pistar_vf.hub.revision import is_in_cache
from pistar_vf.progress import progress_bar

_logger = logging.getLogger(__name__)


def refuse_in_cache(root: Path) -> None:
    """Refuses to change a dataset where it lies.

    Raises:
        DatasetError: it lies in a cache of the hub.
    """
    if is_in_cache(root) or is_in_cache(root.resolve()):
        raise DatasetError(
            f"{root}: expected a dataset of your own to change in place, got one in the hub's cache, which other "
            "programs read too; write a new one instead, with --output_dir"
        )


class Transaction:
    """Files of one dataset that are replaced together.

    ```
    with Transaction(root, "relabel") as transaction:
        for path in paths:  # relative to root
            replace_columns(root / path, transaction.stage(path), columns[path])
        transaction.commit()
    ```

    Entering makes the caller the dataset's only writer and repairs what a killed writer left. Leaving without
    `commit` changes nothing; so does an error or Ctrl-C inside it.

    Args:
        root: the dataset's folder.
        purpose: in a few words, for people.
        summary: where the new content comes from, for people: anything that JSON can hold.
        started: the time in the id of the transaction; None for now.
        progress: shows a progress bar on stderr.
    """

    def __init__(
        self,
        root: str | Path,
        purpose: str,
        *,
        summary: Mapping[str, Any] | None = None,
        started: datetime.datetime | None = None,
        progress: bool = True,
    ) -> None:
        self.root = Path(root).resolve()
        refuse_in_cache(self.root)
        self.id = ""
        self._purpose, self._summary, self._progress = purpose, dict(summary or {}), progress
        self._started = started or datetime.datetime.now(datetime.UTC)
        self._staged: dict[Path, Path] = {}
        self._committed = False
        self._exit = ExitStack()

    def __enter__(self) -> "Transaction":
        """Raises DatasetError: another writer is at work, or the dataset cannot be repaired or written to."""
        with ExitStack() as stack:
            stack.enter_context(dataset_lock(self.root, self._purpose))
            if (outcome := settle(self.root)) is not None:
                _logger.warning("%s: %s", self.root, outcome)
            self.id = _next_id(self.root, self._started)
            self._folder.mkdir(parents=True)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        with self._exit:
            settle(self.root)

    @property
    def _folder(self) -> Path:
        return journals.transaction_folder(self.root, self.id)

    def stage(self, relative_path: str | Path) -> Path:
        """Says where to write the new content of a file.

        Args:
            relative_path: the file, relative to the dataset; it may be new, and so may its folder.

        Returns:
            A path in a folder that exists.

        Raises:
            DatasetError: the path leaves the dataset, itself or through a symlink, or is a folder; or the transaction
                is committed.
        """
        if self._committed:
            raise DatasetError(f"{self.root}: transaction {self.id} is committed; begin another one")
        relative = _resolve(self.root, Path(relative_path))
        staged = self._folder / "new" / relative
        staged.parent.mkdir(parents=True, exist_ok=True)
        self._staged[relative] = staged
        return staged

    def commit(self, verify: Callable[[Mapping[Path, Path]], None] | None = None) -> Journal:
        """Puts all staged files in place; permissions stay, other names of the old files keep the old content.

        Args:
            verify: gets every file, relative to the dataset, and where its new content is; raises to stop here.

        Returns:
            What was done.

        Raises:
            DatasetError: nothing was staged, or a staged file was never written.
        """
        missing = [str(relative) for relative, staged in self._staged.items() if not staged.is_file()]
        if missing or not self._staged:
            raise DatasetError(f"{self.root}: expected new content for the staged files, got none for {missing}")
        if verify is not None:
            verify(dict(self._staged))
        journal = self._prepare()
        try:
            journals.begin(self.root, journal)
            put_in_place(self.root, journal)
        except BaseException:
            if journals.open_journal(self.root) is not None:
                take_back(self.root, journal)
            raise
        self._staged, self._committed = {}, True
        return journal

    def _prepare(self) -> Journal:
        """Makes the backups, and sees to it that they and the new files are on the disk."""
        bar = progress_bar(sorted(self._staged), desc="back up", unit=" files", disable=not self._progress)
        files = tuple(self._back_up(relative) for relative in bar)
        for folder, _, _ in os.walk(self._folder):
            sync(Path(folder))
        for above in (self._folder.parent, self.root / CONTROL_FOLDER, self.root):
            sync(above)
        parents = {parent for relative in self._staged for parent in relative.parents}
        folders = tuple(parent.as_posix() for parent in sorted(parents) if not (self.root / parent).exists())
        created = self._started.strftime("%Y-%m-%dT%H:%M:%SZ")
        return Journal(self.id, "forward", created, command_line(), self._purpose, self._summary, files, folders)

    def _back_up(self, relative: Path) -> FileChange:
        original, staged, backup = self.root / relative, self._staged[relative], self._folder / "old" / relative
        if original.exists():
            staged.chmod(stat.S_IMODE(original.stat().st_mode))
            backup.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(original, backup)
            sync(backup)
        sync(staged)
        new = journals.file_state(staged)
        assert new is not None
        return FileChange(relative.as_posix(), journals.file_state(backup), new)


def _next_id(root: Path, started: datetime.datetime) -> str:
    """A number that grows, because clocks may go back, and the time for people."""
    last = max((int(path.name.split("-")[0]) for path in journals.transactions_folder(root).glob("*-*")), default=0)
    return f"{last + 1:06d}-{started:%Y%m%dT%H%M%SZ}"


def _resolve(root: Path, relative: Path) -> Path:
    """The file that a path inside the dataset means, relative to the dataset, after all symlinks."""
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise DatasetError(f"expected a path inside the dataset {root}, got {relative}")
    target = (root / relative).resolve()
    if not target.is_relative_to(root):
        raise DatasetError(
            f"{root / relative} is a symlink to {target}, outside the dataset, and is not written through: others may "
            "use that file; write a new dataset with --output_dir instead"
        )
    if target.is_relative_to(root / CONTROL_FOLDER):
        raise DatasetError(f"expected a file of the dataset, got {relative}, which belongs to its backups")
    nearest = next(path for path in (target, *target.parents) if path.exists())
    if nearest.is_file() != (nearest == target):
        raise DatasetError(f"{target}: expected a file in a folder, but {nearest} is a folder or a file")
    if _device(nearest) != _device(root / CONTROL_FOLDER):
        raise DatasetError(
            f"{target} is on another file system than {root} and cannot be replaced in one step; write a new dataset "
            "with --output_dir instead"
        )
    return target.relative_to(root)


def _device(path: Path) -> int:
    return path.stat().st_dev
