"""How `pistar-vf check` shows what it found."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pistar_vf.health import Finding, HealthReport
from pistar_vf.health.check import Contents
from pistar_vf.health.findings import SEVERITIES
from pistar_vf.returns import in_words

_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
_NUM_PROMPTS = 10


def print_report(report: HealthReport) -> None:
    """A table of what is in the dataset, one of what is wrong with it, and a line of counts."""
    # Not narrower than a sentence where the output goes to a file.
    console = Console(width=None if sys.stdout.isatty() else 160)
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
