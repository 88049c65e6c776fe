"""`pistar-vf check`: a health report of datasets."""

import dataclasses
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pistar_vf.cli.main import EXIT_USER_ERROR
from pistar_vf.cli.repeated_flags import gathered, with_leading
from pistar_vf.errors import DatasetError
from pistar_vf.health import Finding, HealthReport, check_dataset
from pistar_vf.health.check import Contents
from pistar_vf.health.findings import SEVERITIES
from pistar_vf.returns import in_words

EXIT_UNHEALTHY = 1
_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
_NUM_PROMPTS = 10


@dataclasses.dataclass(frozen=True)
class CheckArgs:
    """Look at everything in LeRobot datasets (v2.1 and v3.0) and report what is wrong; nothing is changed.

    `pistar-vf check A B` is short for `pistar-vf check --data_dir A B`.

    Lengths, index columns, timestamps, NaN, duplicates, videos, prompts, labels, outcomes, interventions, statistics.
    Training refuses a damaged dataset at the first problem; this command names all of them. Exit code: 0 without
    errors, 1 with, 2 where a dataset cannot be read at all.
    """

    data_dir: tuple[Path, ...]
    """The datasets."""
    decode: bool = False
    """Also decode every frame: finds damage inside pictures, and takes as long as the first run of a training. Without
    it the packets of the videos are counted, which finds files that are missing or cut short."""
    json: Path | None = None
    """Also write everything to this file, as JSON."""
    strict: bool = False
    """Warnings count as errors."""


def run(args: CheckArgs) -> int:
    """Prints the reports and returns the exit code."""
    # Not narrower than a sentence where the output goes to a file.
    console = Console(width=None if sys.stdout.isatty() else 160)
    reports, unreadable = [], {}
    for data_dir in args.data_dir:
        try:
            reports.append(check_dataset(data_dir, decode=args.decode))
            _print_report(console, reports[-1])
        except DatasetError as error:
            unreadable[str(data_dir)] = str(error)
            print(f"error: {error}\n", file=sys.stderr)
    bad = [report.data_dir for report in reports if report.count("error") or (args.strict and report.count("warning"))]
    verdict = _verdict(reports, [*bad, *unreadable])
    if args.json is not None:
        content = {"healthy": not (bad or unreadable), "verdict": verdict, "unreadable": unreadable}
        content["datasets"] = [report.to_json() for report in reports]
        args.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"full report: {args.json}")
    print(verdict)
    return EXIT_USER_ERROR if unreadable else EXIT_UNHEALTHY if bad else 0


def _print_report(console: Console, report: HealthReport) -> None:
    facts = Table(title=escape(report.data_dir), show_header=False, title_justify="left")
    rows = {"contents": "cannot be read"} if report.contents is None else dict(_facts(report.contents))
    for name, value in rows.items():
        facts.add_row(name, escape(value))
    console.print(facts)
    if report.findings:
        console.print(_findings_table(report.findings))
    counts = ", ".join(f"{report.count(severity)} {severity}s" for severity in SEVERITIES)
    print(f"checked in {report.seconds:.1f} s: {counts}\n")


def _facts(contents: Contents) -> Iterator[tuple[str, str]]:
    yield "layout", f"LeRobot {contents.version}, {contents.fps:g} fps"
    yield "size", f"{contents.num_episodes} episodes, {contents.num_frames} frames"
    for key, camera in contents.cameras.items():
        if camera.storage == "video":
            fps = "unknown" if camera.fps is None else f"{camera.fps:g}"
            kinds = " and ".join([*camera.sizes, *camera.codecs])
            yield key, f"{kinds}, {fps} fps, {camera.num_files} files"
        else:
            yield key, f"{' '.join(camera.sizes)}, stored in the tables"
    prompts = list(contents.prompts.items())
    more = f"\nand {len(prompts) - _NUM_PROMPTS} more prompts" if len(prompts) > _NUM_PROMPTS else ""
    yield "prompts", "\n".join(f"{count} × {prompt!r}" for prompt, count in prompts[:_NUM_PROMPTS]) + more
    labels = contents.labels
    shown = f"{labels.value_column}, convention {in_words(labels.conventions)}"
    yield "labels", "none" if labels.value_column is None else shown
    yield "outcomes by labels", _counted(labels.outcomes_of_labels) or "not shown"
    yield "outcomes by metadata", _counted(labels.outcomes_of_metadata) or "not stated"
    if labels.intervention_frames is None:
        yield "interventions", "no column"
    else:
        yield (
            "interventions",
            f"{labels.intervention_frames} frames of {labels.intervention_episodes} episodes, "
            f"of which {labels.demonstrations} are demonstrations from beginning to end",
        )
    yield "frames", "all decoded" if contents.decoded else "not decoded (see --decode)"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _findings_table(findings: Sequence[Finding]) -> Table:
    """One row for all findings of a kind; the first stands for the others."""
    groups: dict[tuple[int, str, str | None], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[SEVERITIES.index(finding.severity), finding.check, finding.key].append(finding)
    table = Table("severity", "check", "where", "what", "what to do", show_lines=True)
    for (severity, check, _), group in sorted(groups.items(), key=lambda pair: pair[0][0]):
        colour = _COLOURS[SEVERITIES[severity]]
        more = f"\nand {len(group) - 1} more like this" if len(group) > 1 else ""
        first = group[0]
        cells = [check, first.place + more, first.problem, first.advice]
        table.add_row(f"[{colour}]{SEVERITIES[severity]}[/]", *map(escape, cells))
    return table


def _verdict(reports: Sequence[HealthReport], bad: Sequence[str]) -> str:
    errors, warnings = (sum(report.count(severity) for report in reports) for severity in ("error", "warning"))
    counts = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    return f"verdict: not healthy ({counts}): {', '.join(bad)}" if bad else f"verdict: healthy ({counts})"


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the command line and runs the command; leaves with an exit code of its own where errors were found."""
    words = sys.argv[1:] if argv is None else argv
    words = gathered(with_leading(words, "--data_dir"), "--data_dir")
    if code := run(tyro.cli(CheckArgs, prog="pistar-vf check", args=words, use_underscores=True)):
        sys.exit(code)
