"""Errors of the disk, in words: what the operating system says has no advice, and a traceback helps nobody there."""

import errno
import os

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_BROKEN = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.EREMOTEIO)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY)
_NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP)
_MANY = (errno.EMFILE, errno.ENFILE)


def describe_os_error(error: OSError) -> str | None:
    """What happened at which file, and what to do; None for an error that is not about files.

    Args:
        error: as it was raised by Python, or by a library that keeps the error's number.
    """
    where = _where(error)
    said = os.strerror(error.errno) if error.errno else ""
    if error.errno in _FULL:
        return f"{where}: expected room on the disk, got '{said}'; make room, or write elsewhere, {_AGAIN}"
    if error.errno in _FORBIDDEN:
        return f"{where}: expected to be allowed to read and write it, got '{said}'; change its rights, {_AGAIN}"
    if error.errno in _BROKEN:
        return f"{where}: expected a disk that answers, got '{said}'; look after the disk or the network, {_AGAIN}"
    if error.errno in _GONE and error.filename is not None:
        return f"{where}: expected it as it was when the command began, got '{said}'; put it back, {_AGAIN}"
    if error.errno in _NO_NAME:
        return f"{where}: expected a path, got '{said}'; name another one, {_AGAIN}"
    if error.errno in _MANY:
        return f"{where}: expected to open one more file, got '{said}'; raise the limit (ulimit -n), {_AGAIN}"
    return None


_AGAIN = "then give the command again: nothing is left half-written"


def _where(error: OSError) -> str:
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return " → ".join(names) or "a file"
