"""`pistar-vf check`: a health report of datasets."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.cli.main import EXIT_USER_ERROR
from pistar_vf.cli.parsing import parse
from pistar_vf.errors import DatasetError

if TYPE_CHECKING:
    from pistar_vf.health import HealthReport

EXIT_UNHEALTHY = 1


@dataclasses.dataclass(frozen=True)
class CheckArgs:
    """Look at everything in LeRobot datasets (v2.1 and v3.0) and report what is wrong; nothing is changed.

    `pistar-vf check A B` is short for `pistar-vf check --data_dir A B`.

    Lengths, index columns, timestamps, NaN, duplicates, videos, prompts, labels, outcomes, interventions, statistics.
    Training refuses a damaged dataset at the first problem; this command names all of them. Exit code: 0 without
    errors, 1 with, 2 where a dataset cannot be read at all.
    """

    data_dir: tuple[str | Path, ...]
    """The datasets: folders, local/<name> in the LeRobot cache, or hf://<owner>/<name>[@<revision>], which is
    downloaded whole."""
    decode: bool = False
    """Also decode every frame: finds damage inside pictures, and takes as long as the first run of a training. Without
    it the packets of the videos are counted, which finds files that are missing or cut short."""
    json: Path | None = None
    """Also write everything to this file, as JSON."""
    strict: bool = False
    """Warnings count as errors."""


def run(args: CheckArgs) -> int:
    """Prints the reports and returns the exit code."""
    from pistar_vf.cli.check_report import print_report
    from pistar_vf.health import Finding, HealthReport, check_dataset

    reports, unreadable = [], {}
    for data_dir in args.data_dir:
        try:
            reports.append(check_dataset(data_dir, decode=args.decode))
            print_report(reports[-1])
        except DatasetError as error:
            unreadable[str(data_dir)] = str(error)
            found = Finding("error", "loading", str(error), "repair this first: nothing can be said about the rest")
            reports.append(HealthReport(str(data_dir), None, (found,), 0.0))
            print(f"error: {error}\n", file=sys.stderr)
    bad = [report.data_dir for report in reports if report.count("error") or (args.strict and report.count("warning"))]
    verdict = _verdict(reports, bad)
    if args.json is not None:
        content = {"healthy": not bad, "verdict": verdict, "unreadable": unreadable}
        content["datasets"] = [report.to_json() for report in reports]
        write_whole(args.json, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        print(f"full report: {args.json}")
    print(verdict)
    return EXIT_USER_ERROR if unreadable else EXIT_UNHEALTHY if bad else 0


def _verdict(reports: "Sequence[HealthReport]", bad: Sequence[str]) -> str:
    errors, warnings = (sum(report.count(severity) for report in reports) for severity in ("error", "warning"))
    counts = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    return f"verdict: not healthy ({counts}): {', '.join(bad)}" if bad else f"verdict: healthy ({counts})"


def main(argv: Sequence[str]) -> None:
    """Parses the command line and runs the command; leaves with an exit code of its own where errors were found."""
    if code := run(parse(CheckArgs, argv, "pistar-vf check", bare="data_dir")):
        sys.exit(code)
