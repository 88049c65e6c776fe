"""One writer per dataset: a lock that ends with its process, however that ends.

The lock is the operating system's (`flock` on `<dataset>/.pistar_vf/lock`); the text in the file only tells others
whom they are waiting for. Nothing stale can block: a lock whose process died is free. (Processes that were forked while
it was held hold it too: fork workers before, or end them with the writer.)
"""

import contextlib
import datetime
import fcntl
import getpass
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pistar_vf.errors import DatasetError

CONTROL_FOLDER = ".pistar_vf"
"""Folder inside a dataset for the lock, the backups and the journals."""


@contextlib.contextmanager
def dataset_lock(root: Path, purpose: str) -> Iterator[None]:
    """Makes the caller the only writer of a dataset while the block runs.

    Args:
        root: the dataset's folder.
        purpose: what for, for the message that others get.

    Raises:
        DatasetError: another process or thread holds the lock (says which), or `root` cannot be written to.
    """
    with _open_lock(root) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatasetError(f"{root} is being written to by {_owner(file)}; wait for it to end") from None
        _set_content(file, json.dumps(_own_description(purpose)))
        try:
            yield
        finally:
            _set_content(file, "")


def command_line() -> str:
    """The command that runs, as one would type it, without the folder of the program."""
    return shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])


def _open_lock(root: Path) -> TextIO:
    folder = root / CONTROL_FOLDER
    if folder.is_symlink():
        raise DatasetError(f"{folder}: expected a folder of the dataset, got a symlink; remove it")
    try:
        folder.mkdir(exist_ok=True)
        return (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{root} cannot be written to ({error}); write a new dataset with --output_dir") from error


def _own_description(purpose: str) -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        user = str(os.getuid())
    owner = f"{user}@{socket.gethostname()}"
    return {"owner": owner, "pid": os.getpid(), "command": command_line(), "purpose": purpose, "since": _utc_now()}


def _utc_now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _set_content(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def _owner(file: TextIO) -> str:
    file.seek(0)
    try:
        owner = json.loads(file.read())
        return "{owner}, process {pid}: `{command}` ({purpose}, since {since})".format(**owner)
    except (ValueError, KeyError):  # it has the lock, but has not written its name yet
        return "another process"
