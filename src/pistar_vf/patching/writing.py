"""One writer per checkout, and files that are old or new, never half, and on the disk when a function returns."""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pistar_vf.changes.durable_files import sync, sync_all
from pistar_vf.patching.patch_file import PatchError

FOLDER = ".pistar_vf_patches"
"""Folder of a checkout that holds what was there before."""


@contextlib.contextmanager
def one_writer(root: Path) -> Iterator[None]:
    """Makes the caller the only one who patches a checkout while the block runs.

    The lock is the operating system's, on the folder itself: it leaves no file, and ends with its process.

    Raises:
        PatchError: somebody else is patching it.
    """
    descriptor = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PatchError(f"{root} is being patched by another process; wait for it to end") from None
        yield
    finally:
        os.close(descriptor)


def read(path: Path) -> bytes | None:
    """A file's content; None for no file.

    Raises:
        PatchError: it cannot be read.
    """
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise PatchError(f"{path}: expected a file that can be read ({error.strerror})") from error


def refuse_unwritable(root: Path, files: Iterable[str]) -> None:
    """Stops before anything is written where a file of a checkout, or the folder for a new one, cannot be written.

    Raises:
        PatchError: names the first.
    """
    for file in [FOLDER, *files]:
        path = (root / file).resolve()
        existing = next(each for each in (path, *path.parents) if each.exists())
        if not os.access(existing, os.W_OK):
            raise PatchError(
                f"{existing}: expected a file that can be written (Permission denied); nothing was written. Make it "
                "writable, and run this again"
            )


def put(root: Path, path: Path, content: bytes | None) -> None:
    """Gives a file its content as a whole, or removes it for None; its permissions stay.

    Args:
        root: the checkout.
        path: the file; where it is a link, what it links to is written.
        content: its new content.

    Raises:
        PatchError: it cannot be written; the file is as it was.
    """
    path = path.resolve()
    try:
        if content is None:
            path.unlink(missing_ok=True)
            sync_all([path.parent])
            return
        new = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        sync_all(folder.parent for folder in new)
        _replace(root, path, content)
    except OSError as error:
        raise PatchError(
            f"{path}: expected a file that can be written ({error.strerror}); it is as it was. Make it writable, or "
            "make room, and run this again; --revert takes back what was written before"
        ) from error


def _replace(root: Path, path: Path, content: bytes) -> None:
    """A reader, a kill or a power cut sees the old content or the new one."""
    (root / FOLDER).mkdir(exist_ok=True)
    same_disk = (root / FOLDER).stat().st_dev == path.parent.stat().st_dev
    name = f"{os.getpid()}.new"
    temporary = root / FOLDER / name if same_disk else path.with_name(f".{path.name}.{name}")
    try:
        temporary.write_bytes(content)
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
