"""A command in a forked child of a process that has imported everything, ended or killed.

An interpreter that starts takes seconds; a fork takes none. It must come before JAX opens its devices, whose threads
do not survive it: the parent never computes anything.
"""

import contextlib
import dataclasses
import fcntl
import itertools
import mmap
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pistar_vf.cli.main import main, run_command

TIMEOUT_SECONDS = 600.0
_MAX_OUTPUT = 1 << 20
_CHANGES = {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate"}
"""Audit events of what changes a folder, besides files that are opened to be written."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """When a child is killed.

    Attributes:
        seconds: after its start; None for never.
        operation: at its n-th operation that changes a file: just before it, or `seconds` after that; None for none.
    """

    seconds: float | None = None
    operation: int | None = None

    def __str__(self) -> str:
        after = f"after {self.seconds or 0:.4f} s"
        return after if self.operation is None else f"{after} from operation {self.operation} on"


NEVER = Moment()


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: its exit code; negative for the signal that ended it; None where it hung and was ended.
        seconds: how long it took.
        operations: how often it changed a file, as far as Python saw it.
        output: what it wrote to both of its streams.
    """

    code: int | None
    seconds: float
    operations: int
    output: str

    @property
    def killed(self) -> bool:
        """Whether the kill came before its end."""
        return self.code == -signal.SIGKILL

    @property
    def has_traceback(self) -> bool:
        """Whether the user saw the library's inside."""
        return "Traceback (most recent call last)" in self.output


def run(
    action: Sequence[str] | Callable[[], object],
    *,
    kill: Moment = NEVER,
    prepare: Callable[[], object] = lambda: None,
    counted: Path | None = None,
) -> Ended:
    """Runs a command, or a function, in a child.

    Args:
        action: the words after `pistar-vf`, or what to call.
        kill: when it is killed.
        prepare: called in the child before it, to limit it.
        counted: only changes in this folder count as operations; None for all.
    """
    shared = mmap.mmap(-1, 8)
    # Not a file: what limits the child's files must not limit what it says.
    output, target = os.pipe()
    fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _MAX_OUTPUT)
    os.set_blocking(output, False)
    started = time.monotonic()
    if (child := os.fork()) == 0:
        _be_child(action, target, kill, prepare, counted, shared)
    os.close(target)
    code = _wait(child, kill.seconds if kill.operation is None else None, started)
    seconds = time.monotonic() - started
    with os.fdopen(output, "rb", buffering=0) as said:
        text = (said.read(_MAX_OUTPUT) or b"").decode(errors="replace")
    return Ended(code, seconds, int.from_bytes(shared[:8], "little"), text)


def _be_child(
    action: Sequence[str] | Callable[[], object],
    target: int,
    kill: Moment,
    prepare: Callable[[], object],
    counted: Path | None,
    shared: mmap.mmap,
) -> None:
    """Never returns: whatever happens, the child must not go on with the parent's work."""
    code = 1
    try:
        os.setsid()
        for stream in (1, 2):
            os.dup2(target, stream)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", encoding="utf-8", closefd=False) for stream in (1, 2))
        prepare()
        _count_operations(kill, counted, shared)
        code = _code_of(action)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _code_of(action: Sequence[str] | Callable[[], object]) -> int:
    try:
        return run_command(lambda _: action(), []) if callable(action) else main(list(action))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1


def _count_operations(kill: Moment, counted: Path | None, shared: mmap.mmap) -> None:
    number = itertools.count(1)
    inside = "" if counted is None else str(counted)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not changes_a_file(event, arguments) or not is_inside(str(arguments[0]), inside):
            return
        now = next(number)
        if now == kill.operation:
            _die(kill.seconds)
        shared[:8] = now.to_bytes(8, "little")

    sys.addaudithook(hook)


def is_inside(path: str, folder: str) -> bool:
    """Whether a path leads into a folder, in which the child works."""
    return path.startswith(folder) or not path.startswith("/")


def _die(seconds: float | None) -> None:
    """At once, or so much later; this process goes on until then."""

    def kill() -> None:
        time.sleep(seconds or 0.0)
        os.kill(os.getpid(), signal.SIGKILL)

    kill() if seconds is None else threading.Thread(target=kill, daemon=True).start()


def changes_a_file(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event is of an operation that changes a folder or a file."""
    if event == "open":
        return bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) and isinstance(arguments[0], str)
    return event in _CHANGES


def _wait(child: int, kill_after: float | None, started: float) -> int | None:
    """The exit code; a child that is late is ended, too."""
    limit = TIMEOUT_SECONDS if kill_after is None else kill_after
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        left = limit - (time.monotonic() - started)
        if left <= 0:
            break
        time.sleep(min(left, 0.002))
    for end in (os.kill, os.killpg):  # it may have no group yet
        with contextlib.suppress(ProcessLookupError):
            end(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if kill_after is not None else None
