"""Disks that are full, read-only, gone or slow: every command ends with one clear error and leaves nothing half."""

import contextlib
import ctypes
import dataclasses
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hard_faults.cases import Case, LostError, NewResult, expect_success
from hard_faults.children import Ended, changes_a_file, is_inside
from hard_faults.mutations import REFUSED, says_why
from hard_faults.world import World

_CAPABILITY_VERSION = 0x20080522
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EACCES, errno.EROFS, errno.ETIMEDOUT, errno.EMFILE)
INTERRUPTED = 130
STALL_SECONDS = 60.0


@dataclasses.dataclass
class Trouble:
    """What came of one kind of trouble.

    Attributes:
        tried: how often a command met it.
        refused: of them it ended with an error; the others did not need what was missing.
        losses: something was lost, or half a result passes for a whole one.
        tracebacks: the user saw the library's inside, or the command died or hung.
    """

    tried: int = 0
    refused: int = 0
    losses: list[str] = dataclasses.field(default_factory=list)
    tracebacks: list[str] = dataclasses.field(default_factory=list)

    def judge(self, where: str, ended: Ended, codes: tuple[int, ...] = (0, *REFUSED)) -> None:
        """Counts a command that has ended."""
        self.tried += 1
        self.refused += ended.code != 0
        if ended.has_traceback or ended.code not in codes or not says_why(ended):
            self.tracebacks.append(f"{where}: {ended.code}: {ended.output.strip()[-1500:]}")


def raise_everywhere(world: World, case: Case, count: int, seed: int) -> Trouble:
    """The operating system refuses one operation on a file, any of them, for any of its reasons.

    Afterwards all is well again, and the command is given once more.
    """
    rng, trouble = random.Random(f"{case.name} {seed}"), Trouble()
    world.fresh(case.inputs)
    whole = world.run(case.action(world))
    expect_success(whole, f"{case.name}, undisturbed")
    case.learn(world)
    for _ in range(count):
        work, number = world.fresh(case.inputs), rng.randint(1, max(1, whole.operations))
        action, code = case.action(world), rng.choice(ERRORS)
        ended = world.run(action, prepare=lambda n=number, c=code, w=work: _refuse_operation(n, c, w))
        where = f"{case.name}: {errno.errorcode[code]} at operation {number}"
        trouble.judge(where, ended)
        with _losses(trouble, where):
            case.check(world, work)
    return trouble


def _refuse_operation(number: int, code: int, work: Path) -> None:
    counter = iter(range(1, sys.maxsize))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if changes_a_file(event, arguments) and is_inside(str(arguments[0]), str(work)) and next(counter) == number:
            raise OSError(code, os.strerror(code), str(arguments[0]))

    sys.addaudithook(hook)


@contextlib.contextmanager
def _losses(trouble: Trouble, where: str) -> Iterator[None]:
    try:
        yield
    except LostError as lost:
        trouble.losses.append(f"{where}: {lost}")


def fill_disk(world: World, case: Case, count: int, seed: int) -> Trouble:
    """No file can grow beyond a size that lies below that of the largest file of the result."""
    rng, trouble = random.Random(f"full {case.name} {seed}"), Trouble()
    world.fresh(case.inputs)
    before = _largest(world.work)
    expect_success(world.run(case.action(world)), f"{case.name}, undisturbed")
    case.learn(world)
    largest = max(before, _largest(world.work))
    for _ in range(count):
        work, limit = world.fresh(case.inputs), rng.randint(0, largest)
        action = case.action(world)
        ended = world.run(action, prepare=lambda size=limit: _limit_files(size))
        where = f"{case.name}: files of {limit} bytes at most"
        trouble.judge(where, ended)
        with _losses(trouble, where):
            case.check(world, work)
    return trouble


def _largest(folder: Path) -> int:
    return max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)


def _limit_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error then, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fill_tmpfs(world: World, case: NewResult, count: int, seed: int) -> Trouble:
    """The result goes to a file system that is really full; where none can be mounted, nothing is tried."""
    rng, trouble = random.Random(f"tmpfs {case.name} {seed}"), Trouble()
    for _ in range(count // 2):
        work, size = world.fresh(case.inputs), rng.choice([16, 48, 128, 320])
        with _mounted(work / "disk", f"size={size}k") as mounted:
            if not mounted:
                return trouble
            ended = world.run(_into(case.words, "disk/out"))
            where = f"{case.name}: a disk of {size} KiB"
            trouble.judge(where, ended)
            if ended.code != 0 and (work / "disk" / "out").exists():
                trouble.losses.append(f"{where}: exit code {ended.code}, but a result is there")
            with _losses(trouble, where):
                case.check_nothing_half(world)
    return trouble


@contextlib.contextmanager
def _mounted(folder: Path, options: str) -> Iterator[bool]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def _into(words: tuple[str, ...], output: str) -> tuple[str, ...]:
    return tuple(output if word == "out" else word for word in words)


def forbid(world: World, case: NewResult, count: int, seed: int) -> Trouble:
    """Nothing may be written beside the inputs; or one of their files may not be read."""
    rng, trouble = random.Random(f"forbid {case.name} {seed}"), Trouble()
    for what in ("read-only target", "unreadable input") * max(1, count // 4):
        work = world.fresh(case.inputs)
        for path in (work, *work.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        if what == "unreadable input":
            work.chmod(0o777)
            files = sorted(path for name in case.inputs for path in (work / name).rglob("*") if path.is_file())
            rng.choice(files).chmod(0o000)
        ended = world.run(case.words, prepare=_give_up_rights)
        trouble.judge(f"{case.name}: {what}", ended)
        with _losses(trouble, f"{case.name}: {what}"):
            case.check_nothing_half(world)
    return trouble


def _give_up_rights() -> None:
    """Root may do everything; without its capabilities it may do what the permissions say."""
    if os.geteuid() == 0:
        header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).capset(header, none):
            raise RuntimeError(os.strerror(ctypes.get_errno()))


def lose_videos(world: World, case: NewResult, count: int, seed: int) -> Trouble:
    """A video vanishes, before the command or while it runs; what does not need its pictures may go on without it."""
    rng, trouble = random.Random(f"vanish {case.name} {seed}"), Trouble()
    for _ in range(count // 2):
        work = world.fresh(case.inputs)
        video = rng.choice(sorted(work.glob("*/videos/**/*.mp4")))
        kept, number = video.read_bytes(), rng.randint(0, 6)
        ended = world.run(case.words, prepare=lambda v=video, n=number: _vanish(v, n))
        where = f"{case.name}: {video.relative_to(work)} vanished at file {number}"
        trouble.judge(where, ended)
        if not video.exists():
            video.write_bytes(kept)
        with _losses(trouble, where):
            case.check_nothing_half(world, unless=video.name)
    return trouble


def _vanish(video: Path, number: int) -> None:
    counter = iter(range(1, sys.maxsize))
    if number == 0:
        video.unlink()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and next(counter) == number and video.exists():
            os.unlink(video)

    sys.addaudithook(hook)


def stall(world: World, case: NewResult, count: int, seed: int) -> Trouble:
    """A network disk stops to answer in the middle; the user presses Ctrl-C."""
    rng, trouble = random.Random(f"stall {case.name} {seed}"), Trouble()
    world.fresh(case.inputs)
    whole = world.run(case.action(world))
    case.learn(world)
    for _ in range(count // 2):
        world.fresh(case.inputs)
        number = rng.randint(1, max(1, whole.operations))
        ended = world.run(case.words, prepare=lambda n=number: _stall_operation(n, world.work))
        where = f"{case.name}: a stalled disk at operation {number}, then Ctrl-C"
        trouble.judge(where, ended, codes=(0, INTERRUPTED))
        with _losses(trouble, where):
            case.check_nothing_half(world)
    return trouble


def _stall_operation(number: int, work: Path) -> None:
    counter = iter(range(1, sys.maxsize))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it

    def interrupt() -> None:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if changes_a_file(event, arguments) and is_inside(str(arguments[0]), str(work)) and next(counter) == number:
            threading.Thread(target=interrupt, daemon=True).start()
            time.sleep(STALL_SECONDS)

    sys.addaudithook(hook)
