"""Holds the two published documents to their word: every command and promise of theirs, tried with stand-ins.

    python benchmarks/documents.py                 # everything, minutes; one row a promise
    python benchmarks/documents.py --quick         # what needs no command
    python benchmarks/documents.py --record        # also writes results/promises.json and docs/promises.md

Commands run as printed, in a home folder made for them, with generated data and weights in the real layouts and with
the published variants at a tiny width. Exit code 1 where a promise is not held.
"""

import argparse
import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promised import stage4, stitched
from promised.promise import NOT, Promise, Row, judge
from promised.world import ROOT, World
from recording import read_records, record

DOCUMENTS = {stage4.NAME: stage4.PROMISES, stitched.NAME: stitched.PROMISES}
COMMANDS = {**stage4.COMMANDS, **stitched.COMMANDS}
PAGE = ROOT / "docs" / "promises.md"
_INTRO = """<!-- Written by `python benchmarks/documents.py --record`. -->
# Promises

Two documents were there before this library: the page on Stage 4 (the pistar fork), and the README of the stitched
value function. `python benchmarks/documents.py` runs their commands as printed, with generated data and weights in the
real layouts at a tiny width, and looks whether what they promise holds. What only real weights, a GPU or their own data
can show is said to be so.
"""


def promises(quick: bool, only: str) -> list[tuple[str, Promise]]:
    """(document, promise) of those that were asked for."""
    every = [(document, promise) for document, own in DOCUMENTS.items() for promise in own]
    return [(d, p) for d, p in every if (p.quick or not quick) and only in f"{d} {p.section} {p.words}"]


def try_all(chosen: Sequence[tuple[str, Promise]], folder: Path) -> list[Row]:
    """One row a promise, printed as they come."""
    world, rows = World(folder, COMMANDS), []
    for document, promise in chosen:
        rows.append(judge(document, promise, world))
        print(f"{rows[-1].verdict:>14}  {promise.section}: {promise.words}: {rows[-1].reason}", flush=True)
    return rows


def merged(rows: Sequence[Row]) -> list[dict[str, str]]:
    """All promises in order: as they were tried now, else as they were recorded."""
    known = {_key(row): row for row in read_records().get("promises", {"figures": {"rows": []}})["figures"]["rows"]}
    known |= {_key(asdict(row)): asdict(row) for row in rows}
    every = [Row(document, p.section, p.words, NOT, "never tried") for document, p in promises(False, "")]
    return [known.get(_key(asdict(row)), asdict(row)) for row in every]


def _key(row: dict[str, str]) -> tuple[str, str, str]:
    return row["document"], row["section"], row["words"]


def page(rows: Sequence[dict[str, Any]]) -> str:
    """docs/promises.md."""
    parts = [_INTRO]
    for document, own in itertools.groupby(rows, key=lambda row: row["document"]):
        parts.append(f"\n## {document}\n\n| section | promise | | seen |\n|---|---|---|---|\n")
        for row in own:
            cells = [
                row[name].replace("|", "\\|").replace("\n", " ") for name in ("section", "words", "verdict", "reason")
            ]
            parts.append(f"| {' | '.join(cells)} |\n")
    return "".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only promises that need no command")
    parser.add_argument("--only", default="", help="a part of the promise's words")
    parser.add_argument(
        "--record",
        action="store_true",
        help="write results/promises.json (promises not tried now stay) and docs/promises.md",
    )
    parser.add_argument("--folder", type=Path, help="keep the home folder there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = try_all(promises(args.quick, args.only), args.folder or Path(scratch))
    print(", ".join(f"{count} {verdict}" for verdict, count in Counter(row.verdict for row in rows).items()))
    if args.record:
        record("promises", {"rows": merged(rows)})
        PAGE.write_text(page(read_records()["promises"]["figures"]["rows"]), encoding="utf-8")
        print(f"result: {PAGE}")
    sys.exit(any(row.verdict == NOT for row in rows))


if __name__ == "__main__":
    main()
