"""What a dataset is, and how it is."""

import itertools
import shlex
from collections.abc import Sequence

from pistar_vf.health import Finding, HealthReport
from pistar_vf.health.findings import SEVERITIES
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.report.content import Details, Facts, Kind, Mark, Paragraph, Part, Section, Table

_NUM_PROMPTS = 20
_KINDS: dict[str, Kind] = {"error": "bad", "warning": "doubt", "note": "plain"}


def dataset_section(dataset: LeRobotDataset, health: HealthReport | None) -> Section:
    """Its facts, and what a check of it found; `None` where nobody has checked it."""
    parts: list[Part] = [Facts(tuple(_facts(dataset)))]
    if health is None:
        root = shlex.quote(str(dataset.root))
        parts.append(Paragraph(f"Its health: `pistar-vf check {root}`, or `pistar-vf report {root}`."))
    else:
        parts += _health(health)
    return Section("Dataset", tuple(parts))


def _facts(dataset: LeRobotDataset) -> list[tuple[str, str]]:
    lengths = [episode.length for episode in dataset.episodes]
    seconds = dataset.num_frames / dataset.fps
    rows = [
        ("folder", str(dataset.root)),
        ("robot", dataset.robot_type or "not stated"),
        ("layout", f"LeRobot {dataset.version}, {dataset.fps:g} frames per second"),
        ("size", f"{len(lengths):,} episodes, {dataset.num_frames:,} frames, {_duration(seconds)}"),
        ("length of an episode", f"{min(lengths)} … {max(lengths)} frames"),
    ]
    for key in dataset.camera_keys:
        height, width = dataset.image_size(key)
        rows.append((key, f"{width} × {height} pixels, stored as {dataset.features[key]['dtype']}"))
    more = [f"and {len(dataset.prompts) - _NUM_PROMPTS} more"] if len(dataset.prompts) > _NUM_PROMPTS else []
    return [*rows, ("prompts", "\n".join([*dataset.prompts[:_NUM_PROMPTS], *more]))]


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _health(health: HealthReport) -> list[Part]:
    counts = ", ".join(f"{health.count(severity)} {severity}s" for severity in SEVERITIES)
    kind: Kind = "bad" if health.count("error") else "doubt" if health.count("warning") else "good"
    parts: list[Part] = [Paragraph(f"Health: {counts}.", kind)]
    if health.contents is not None and health.contents.labels.outcomes_of_labels:
        outcomes = ", ".join(f"{count} {name}" for name, count in health.contents.labels.outcomes_of_labels.items())
        parts.append(Paragraph(f"Outcomes by the labels: {outcomes}."))
    if health.findings:
        parts.append(_findings(health.findings))
        parts.append(
            Details("Every finding", "\n".join(f"{f.severity}: {f.place}: {f.problem}" for f in health.findings))
        )
    return parts


def _findings(findings: Sequence[Finding]) -> Table:
    """One row for all findings of a kind; the first stands for the others."""

    def kind(finding: Finding) -> tuple[int, str, str]:
        return SEVERITIES.index(finding.severity), finding.check, finding.key or ""

    rows = []
    for _, group in itertools.groupby(sorted(findings, key=kind), kind):
        first, *others = group
        more = f" and {len(others)} more like this" if others else ""
        mark = Mark(first.severity, _KINDS[first.severity])
        rows.append((mark, first.check, first.place + more, first.problem, first.advice))
    return Table(("", "check", "where", "what", "what to do"), tuple(rows))
