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
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recording import record

PARTS = ("kills", "mutations", "disks")
KINDS = ("parquet", "mp4", "json", "orbax", "safetensors")
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


def kills(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """SIGKILL at random moments of every command that writes."""
    from hard_faults.cases import quick_cases, trained_cases
    from hard_faults.kills import kill_often
    from hard_faults.world import World

    world, rows = World(folder), {}
    for cases, count in ((quick_cases(), KILLS), (trained_cases(), SLOW_KILLS)):
        for case in _chosen(cases, args.only):
            rows[_key(case.name)] = _timed(
                lambda c=case, n=count: kill_often(world, c, args.count or n, args.seed), case.name
            )
    return {"commands": rows, "total": _total(rows, ("kills", "losses"))}


def mutations(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Damaged files of every kind that is read."""
    from hard_faults.mutations import damage_often
    from hard_faults.world import World

    world, rows = World(folder), {}
    for kind in KINDS:
        if args.only in kind:
            rows[kind] = _timed(lambda k=kind: damage_often(world, k, args.count or MUTATIONS, args.seed), kind)
    return {"kinds": rows, "total": _total(rows, ("tried", "read", "refused", "losses", "tracebacks"))}


def disks(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Disks that are full, read-only, gone or slow."""
    from hard_faults import surroundings as trouble
    from hard_faults.cases import NewResult, quick_cases, trained_cases
    from hard_faults.world import World

    world, rows, count = World(folder), {}, args.count or TROUBLES
    for case in _chosen([*quick_cases(), *trained_cases()], args.only):
        tries: dict[str, Callable[..., Any]] = {"errors": trouble.raise_everywhere, "full": trouble.fill_disk}
        if isinstance(case, NewResult):
            tries |= {"forbidden": trouble.forbid, "stalled": trouble.stall}
            tries |= {"full tmpfs": trouble.fill_tmpfs} if "out" in case.words else {}
            tries |= {"vanished video": trouble.lose_videos} if case.has_videos(world) else {}
        for name, attempt in tries.items():
            own = _timed(lambda c=case, a=attempt: a(world, c, count, args.seed), f"{case.name}, {name}")
            rows.setdefault(_key(name), {})[_key(case.name)] = own
    sums = {name: _total(own, ("tried", "refused", "losses", "tracebacks")) for name, own in rows.items()}
    return {"kinds": sums, "total": _total(sums, ("tried", "refused", "losses", "tracebacks"))}


def _key(name: str) -> str:
    """As the template of the page may name it."""
    return re.sub(r"\W+", "_", name).strip("_")


def _chosen(cases: Sequence[Any], only: str) -> list[Any]:
    return [case for case in cases if only in case.name]


def _timed(attempt: Callable[[], Any], name: str) -> dict[str, Any]:
    """What came of it as figures; prints what was lost or crashed, and a line."""
    started = time.monotonic()
    found = dataclasses.asdict(attempt())
    for kind in ("losses", "tracebacks"):
        for text in found.get(kind, ()):
            print(f"{kind}: {text}\n", flush=True)
    figures = {key: len(value) if isinstance(value, list) else value for key, value in found.items()}
    shown = ", ".join(f"{value:.3g} {key}" for key, value in figures.items())
    print(f"{name}: {shown} ({time.monotonic() - started:.0f} s)", flush=True)
    return figures


def _total(rows: dict[str, dict[str, Any]], keys: Sequence[str]) -> dict[str, int]:
    return {key: sum(row[key] for row in rows.values()) for key in keys}


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
        folder = Path(tempfile.mkdtemp(prefix="reliability-", dir=in_memory))
        try:
            figures = globals()[part](args, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{part}: {figures['total']}", flush=True)
        bad += figures["total"]["losses"] + figures["total"].get("tracebacks", 0)
        if args.record:
            record(f"reliability_{part}", {**figures, "seed": args.seed})
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
