"""Hard faults, tried on every command that writes or reads: what is lost (nothing), and what the user sees (one error).

    python benchmarks/reliability.py --record                          # everything; half an hour to two hours
    python benchmarks/reliability.py --part kills --only relabel       # one part, one command
    python benchmarks/reliability.py --part mutations --count 20 --seed 1

Commands run in forked children on tiny datasets and models, with moments and damages from a seed. Every part is
recorded when it is done; what is lost or crashes is printed in full. Exit code 1 where there was any.
"""

import argparse
import dataclasses
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recording import read_records, record

PARTS = ("kills", "mutations", "disks")
KINDS = ("parquet", "mp4", "json", "orbax", "safetensors")
BAD = ("losses", "tracebacks")
COUNTED = ("kills", "tried", "read", "refused", *BAD)
"""Figures of a row that are added up."""
KILLS, SLOW_KILLS = 16, 6
"""Of each command, and of each that loads JAX, which takes seconds."""
MUTATIONS, TROUBLES, SLOW_TROUBLES = 240, 8, 3
"""Of each kind of file, and of each command and kind of trouble."""


def prepare() -> None:
    """Before anything is imported that reads these; and so that the toy checkouts of the tests are found."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    os.environ["JAX_PLATFORMS"] = "cpu"
    cache = Path(tempfile.gettempdir()) / "pistar_vf_reliability_xla"  # programs compiled once, for all children
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ.pop("PISTAR_VF_TRACEBACK", None)


def kills(args: argparse.Namespace, folder: Path, book: "Book") -> None:
    """SIGKILL at random moments of every command that writes."""
    from hard_faults.cases import quick_cases, trained_cases
    from hard_faults.kills import kill_often
    from hard_faults.world import World

    world, quick = World(folder), [case.name for case in quick_cases()]
    for case in _chosen([*quick_cases(), *trained_cases()], args.only):
        number = args.count or (KILLS if case.name in quick else SLOW_KILLS)
        book.enter("commands", case.name, lambda c=case, n=number: kill_often(world, c, n, args.seed))


def mutations(args: argparse.Namespace, folder: Path, book: "Book") -> None:
    """Damaged files of every kind that is read."""
    from hard_faults.mutations import damage_often
    from hard_faults.world import World

    world = World(folder)
    for kind in KINDS:
        if args.only in kind:
            number = args.count or MUTATIONS
            book.enter("kinds", kind, lambda k=kind, n=number: damage_often(world, k, n, args.seed))


def disks(args: argparse.Namespace, folder: Path, book: "Book") -> None:
    """Disks that are full, read-only, gone or slow."""
    from hard_faults import surroundings as trouble
    from hard_faults.cases import NewResult, quick_cases, trained_cases
    from hard_faults.world import World

    world, quick = World(folder), [case.name for case in quick_cases()]
    for case in _chosen([*quick_cases(), *trained_cases()], args.only):
        count = args.count or (TROUBLES if case.name in quick else SLOW_TROUBLES)
        tries: dict[str, Callable[..., Any]] = {"errors": trouble.raise_everywhere, "full": trouble.fill_disk}
        if isinstance(case, NewResult):
            tries |= {"forbidden": trouble.forbid, "stalled": trouble.stall}
            tries |= {"full tmpfs": trouble.fill_tmpfs} if "out" in case.words else {}
            tries |= {"vanished video": trouble.lose_videos} if case.has_videos(world) else {}
        for name, attempt in tries.items():
            book.enter(name, case.name, lambda c=case, a=attempt, n=count: a(world, c, n, args.seed))


class Book:
    """What was found so far, by group and row; written down after every row, and rows that are not tried now stay.

    Args:
        part: whose it is.
        keep: whether to write it down.
        seed: of this run.
    """

    def __init__(self, part: str, keep: bool, seed: int):
        self._name, self._keep, self._seed = f"reliability_{part}", keep, seed
        earlier = read_records().get(self._name, {}) if keep else {}
        self._groups: dict[str, dict[str, Any]] = earlier.get("figures", {}).get("groups", {})
        self.bad = 0

    def enter(self, group: str, row: str, attempt: Callable[[], Any]) -> None:
        """Tries something; prints what was lost or crashed, and a line."""
        started = time.monotonic()
        found = dataclasses.asdict(attempt())
        figures = {key: len(value) if isinstance(value, list) else value for key, value in found.items()}
        for kind in BAD:
            self.bad += figures.get(kind, 0)
            for text in found.get(kind, ()):
                print(f"{kind}: {text}\n", flush=True)
        shown = ", ".join(f"{value:.3g} {key}" for key, value in figures.items())
        print(f"{group}, {row}: {shown} ({time.monotonic() - started:.0f} s)", flush=True)
        self._groups.setdefault(_key(group), {})[_key(row)] = {**figures, "seed": self._seed}
        if self._keep:
            self._write()

    def _write(self) -> None:
        sums = {group: _sums(list(rows.values())) for group, rows in self._groups.items()}
        record(self._name, {"total": _sums(list(sums.values())), "sums": sums, "groups": self._groups})


def _sums(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {key: sum(row[key] for row in rows) for key in COUNTED if any(key in row for row in rows)}


def _key(name: str) -> str:
    """As the template of the page may name it."""
    return re.sub(r"\W+", "_", name).strip("_")


def _chosen(cases: Sequence[Any], only: str) -> list[Any]:
    """Those of this name; else those whose names have it in them."""
    return [case for case in cases if only == case.name] or [case for case in cases if only in case.name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="one of the parts; all without it")
    parser.add_argument("--only", default="", help="a part of the command's name, or of the kind of files")
    parser.add_argument("--count", type=int, default=0, help="instead of the usual number of tries")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write results/reliability_<part>.json")
    args = parser.parse_args()
    prepare()
    from hard_faults.world import import_everything

    import_everything()
    bad = 0
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a busy disk would take most of the time
    for part in args.part or PARTS:
        book = Book(part, args.record, args.seed)
        with tempfile.TemporaryDirectory(prefix="reliability-", dir=in_memory, ignore_cleanup_errors=True) as folder:
            globals()[part](args, Path(folder), book)
        bad += book.bad
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
