"""Files that are on the disk, not only in memory, when a function returns."""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(paths: Iterable[Path]) -> None:
    """`sync` for each of them that exists."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            sync(path)


def write_durably(path: Path, content: str, temporary: Path) -> None:
    """Replaces a file as a whole: a reader, or a crash, sees the old content or the new one.

    Args:
        path: the file.
        content: its new text.
        temporary: a file to write first, on the same file system.
    """
    temporary.write_text(content, encoding="utf-8")
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


def write_whole(path: Path, content: str) -> None:
    """`write_durably` for who has no folder for temporary files: there it is beside the file, and gone afterwards.

    Args:
        path: the file; its folder is made where it is missing.
        content: its new text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        write_durably(path, content, temporary)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The digest of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
