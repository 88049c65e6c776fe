"""Closes a process in: from then on it reads the checkout, computes, ends soon, and does nothing else."""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

CPU_SECONDS, WALL_SECONDS = 3, 60
"""After which the process is ended: of a processor's time, and by the clock."""
_MEMORY_BYTES = 2 << 30
_COMPUTES = (
    "builtins.id", "code.__new__", "compile", "exec", "function.__new__", "marshal.loads", "object.__delattr__",
    "object.__getattr__", "object.__setattr__", "sys._getframe", "sys._getframemodulename", "sys.unraisablehook",
)  # fmt: skip
_READS = (
    "open", "os.listdir", "os.scandir", "os.walk", "glob.glob",
    "pathlib.Path.glob", "pathlib.Path.rglob", "pathlib.Path.walk",
)  # fmt: skip
_UNHEARD = ("mkfifo", "mknod")
"""What writes to the disk, and of which Python tells no audit hook."""


def close_in(root: Path) -> list[str]:
    """Takes from this process everything but the files below a folder, for good; it cannot be undone.

    Args:
        root: the checkout, which can be read.

    Returns:
        What was refused, by Python's names of audit events; it grows as that happens.
    """
    for kind, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    signal.alarm(WALL_SECONDS)
    for name in _UNHEARD:
        vars(os).pop(name, None)
        vars(sys.modules["posix"]).pop(name, None)
    refused: list[str] = []
    below = os.path.realpath(root)

    def refuse(event: str, given: tuple[Any, ...]) -> None:
        if event not in _COMPUTES and not (event in _READS and _only_reads(event, given, below)):
            refused.append(event)
            raise PermissionError(f"{event} is refused to code that is only looked at")

    sys.addaudithook(refuse)
    return refused


def _only_reads(event: str, given: tuple[Any, ...], below: str) -> bool:
    """Whether an event only reads what is below a folder."""
    path = given[0]
    if event == "open" and (given[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
        return False
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    real = os.path.realpath(os.fsdecode(path))
    return real == below or real.startswith(below + os.sep)
