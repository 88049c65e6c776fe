"""The gate's findings for people: on the terminal, as a picture, and as one HTML file."""

import base64
import dataclasses
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.relabel.label import Labels
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.relabel.trajectories import HEAD, Trajectory, rank
from pistar_vf.relabel.verdict import Criterion, Gate, Share, Verdict
from pistar_vf.returns import Outcome
from pistar_vf.typing import Float

_MARKS = {Verdict.PASSED: "pass", Verdict.FAILED: "FAIL", Verdict.NOT_SHOWN: "not shown"}
_COLOURS = {
    Outcome.SUCCESS: "#2a9d57",
    Outcome.FAILURE: "#d1495b",
    Outcome.TIMEOUT: "#8a8f98",
    Outcome.FRAGMENT: "#c9a227",
}
_NUM_MOMENTS = 50


def verdict(gate: Gate) -> str:
    """One line."""
    on = f"on {gate.num_judged} unseen of {gate.num_episodes} episodes"
    if gate.passed:
        return f"gate: PASSED {on}"
    return f"gate: {gate.verdict} ({', '.join(gate.named(gate.verdict))}) {on}"


def as_text(gate: Gate) -> str:
    """The report for a terminal."""
    width = max(len(criterion.name) for criterion in gate.criteria)
    lines = [f"{_MARKS[c.verdict]:>9}  {c.name:<{width}}  {c.found}; wanted {c.wanted}" for c in gate.criteria]
    lines += [f"           {'':<{width}}  → {c.name}: {_comment(c)}" for c in gate.criteria if _comment(c)]
    moments = ", ".join(f"{part:.0%}: {auc:.3f}" for part, auc in gate.auc)
    rows = [("task", "source", "frames", "positive", "negative", "none"), *map(_share_row, gate.shares)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(size) for cell, size in zip(row, widths)).rstrip() for row in rows]
    auc = f"AUC success against failure over the episode: {moments}"
    return "\n".join([*table, "", auc, *gate.notes, "", *lines, verdict(gate)])


def _comment(criterion: Criterion) -> str:
    """What is wrong, or what would show it."""
    comments = {Verdict.FAILED: criterion.meaning, Verdict.NOT_SHOWN: criterion.advice, Verdict.PASSED: ""}
    return comments[criterion.verdict]


def write_report(
    folder: Path,
    gate: Gate,
    values: Float[np.ndarray, " t"],
    rollouts: Rollouts,
    labels: Labels,
    facts: dict[str, Any],
    trajectories: Sequence[Trajectory],
) -> Path:
    """Writes `report.html` (everything in one file), `report.png` and `report.json`.

    Args:
        folder: made where it is missing; older reports in it are replaced.
        gate: the findings.
        values: V of every frame.
        rollouts: the frames.
        labels: what would be written.
        facts: what made the labels: checkpoints, settings, thresholds.
        trajectories: the measures of every episode.

    Returns:
        The HTML file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _draw(folder / "report.png", gate, values, rollouts, labels)
    content = {
        "verdict": gate.verdict,
        "passed": gate.passed,
        "failed": gate.named(Verdict.FAILED),
        "not_shown": gate.named(Verdict.NOT_SHOWN),
        **dataclasses.asdict(gate),
        "criteria": [{**dataclasses.asdict(c), "verdict": c.verdict, "found": c.found} for c in gate.criteria],
        "facts": facts,
    }
    (folder / "report.json").write_text(json.dumps(_finite(content), indent=2, ensure_ascii=False), encoding="utf-8")
    path = folder / "report.html"
    picture = (folder / "report.png").read_bytes()
    path.write_text(_html(gate, rollouts.name, facts, picture, trajectories), encoding="utf-8")
    return path


def _share_row(share: Share) -> tuple[str, ...]:
    counts = (share.positive, share.negative, share.none)
    return (share.task, share.source, f"{share.num_frames:,}", *(f"{c / share.num_frames:.1%}" for c in counts))


def _draw(path: Path, gate: Gate, values: np.ndarray, rollouts: Rollouts, labels: Labels) -> None:
    from matplotlib.figure import Figure  # not pyplot: no windows, and a report is no reason to load it earlier

    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    figure.suptitle(f"{rollouts.name}: {verdict(gate)}")
    _draw_values(axes[0, 0], values, rollouts)
    _draw_advantages(axes[0, 1], rollouts, labels)
    _draw_shares(axes[1, 0], gate)
    _draw_auc(axes[1, 1], gate)
    figure.savefig(path, dpi=120)


def _draw_values(axis: Any, values: np.ndarray, rollouts: Rollouts) -> None:
    """Mean and middle half of V over the episode, by outcome."""
    part = np.linspace(0, 1, _NUM_MOMENTS)
    rows = np.stack([rollouts.layout.moment(moment) for moment in part], axis=1)
    for outcome, colour in _COLOURS.items():
        own = values[rows[rollouts.outcome_is(outcome)]]
        if len(own):
            low, high = np.quantile(own, [0.25, 0.75], axis=0)
            axis.plot(part, own.mean(axis=0), color=colour, label=f"{outcome} ({len(own)})")
            axis.fill_between(part, low, high, color=colour, alpha=0.2)
    axis.set(title="V over the episode (mean, middle half)", xlabel="part of the episode", ylabel="V")
    if axis.has_data():
        axis.legend()


def _draw_advantages(axis: Any, rollouts: Rollouts, labels: Labels) -> None:
    own = labels.advantage[rollouts.autonomous]
    low, high = np.quantile(own, [0.001, 0.999])
    axis.hist(np.clip(own, low, high), bins=80, color="#8a8f98")
    for threshold in np.unique(labels.thresholds[np.isfinite(labels.thresholds)]):
        axis.axvline(threshold, color="#d1495b")
    axis.set(title="advantages of autonomous frames; red: thresholds", xlabel="advantage", ylabel="frames")


def _draw_shares(axis: Any, gate: Gate) -> None:
    totals: dict[str, np.ndarray] = {}
    for share in gate.shares:
        counts = np.array([share.positive, share.negative, share.none])
        totals[share.source] = totals.get(share.source, np.zeros(3)) + counts
    parts = np.array([counts / max(1, counts.sum()) for counts in totals.values()])
    left = np.zeros(len(parts))
    for i, (word, colour) in enumerate((("positive", "#2a9d57"), ("negative", "#d1495b"), ("none", "#8a8f98"))):
        axis.barh(list(totals), parts[:, i], left=left, color=colour, label=word)
        left += parts[:, i]
    axis.set(title="labels by source", xlabel="share of frames")
    axis.invert_yaxis()
    axis.legend()


def _draw_auc(axis: Any, gate: Gate) -> None:
    axis.plot(*zip(*gate.auc), marker="o", color="#33658a")
    axis.axhline(0.5, color="#8a8f98", linestyle=":")
    axis.set(title="AUC success against failure", xlabel="part of the episode", ylim=(0, 1.02))


def _html(gate: Gate, name: str, facts: dict[str, Any], picture: bytes, trajectories: Sequence[Trajectory]) -> str:
    criteria = [(_MARKS[c.verdict], c.name, c.found, c.wanted, _comment(c)) for c in gate.criteria]
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in gate.notes)
    image = base64.b64encode(picture).decode()
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(name)}: relabelling report</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
td, th {{ border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left }}
.FAIL {{ color: #d1495b; font-weight: bold }}
.pass {{ color: #2a9d57 }}
.not-shown {{ color: #b7791f; font-weight: bold }}
img {{ max-width: 100% }}
pre {{ background: #f5f5f5; padding: 1rem; overflow: auto }}
</style>
<h1>{html.escape(name)}</h1>
<h2 class="{_class_of(_MARKS[gate.verdict])}">{html.escape(verdict(gate))}</h2>
{_table(("", "criterion", "found", "wanted", "what is wrong, or what to do"), criteria)}
{notes}
<img src="data:image/png;base64,{image}" alt="V over the episode, advantages, labels by source, AUC">
<h2>Labels</h2>
{_table(("task", "source", "frames", "positive", "negative", "none"), [_share_row(share) for share in gate.shares])}
<h2>Trajectories</h2>
{_table(HEAD, [trajectory.cells() for trajectory in rank(trajectories)])}
<h2>What made them</h2>
<pre>{html.escape(json.dumps(_finite(facts), indent=2, ensure_ascii=False))}</pre>
</html>
"""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}{_class(cell)}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def _class(cell: str) -> str:
    return f' class="{_class_of(cell)}"' if cell in _MARKS.values() else ""


def _class_of(mark: str) -> str:
    return mark.replace(" ", "-")


def _finite(content: Any) -> Any:
    """NaN is no JSON: it becomes null."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
