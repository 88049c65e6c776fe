"""The gate's findings in words: for the terminal, and as JSON."""

import dataclasses
import json
from typing import Any

import numpy as np

from pistar_vf.relabel.verdict import Criterion, Gate, Share, Verdict

MARKS = {Verdict.PASSED: "pass", Verdict.FAILED: "FAIL", Verdict.NOT_SHOWN: "not shown"}
SHARE_HEAD = ("task", "source", "frames", "positive", "negative", "none")


def verdict(gate: Gate) -> str:
    """One line."""
    on = f"on {gate.num_judged} unseen of {gate.num_episodes} episodes"
    if gate.passed:
        return f"gate: PASSED {on}"
    return f"gate: {gate.verdict} ({', '.join(gate.named(gate.verdict))}) {on}"


def as_text(gate: Gate) -> str:
    """The report for a terminal."""
    width = max(len(criterion.name) for criterion in gate.criteria)
    lines = [f"{MARKS[c.verdict]:>9}  {c.name:<{width}}  {c.found}; wanted {c.wanted}" for c in gate.criteria]
    lines += [f"           {'':<{width}}  → {c.name}: {comment(c)}" for c in gate.criteria if comment(c)]
    moments = ", ".join(f"{part:.0%}: {auc:.3f}" for part, auc in gate.auc)
    rows = [SHARE_HEAD, *map(share_cells, gate.shares)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(size) for cell, size in zip(row, widths)).rstrip() for row in rows]
    auc = f"AUC success against failure over the episode: {moments}"
    return "\n".join([*table, "", auc, *gate.notes, "", *lines, verdict(gate)])


def comment(criterion: Criterion) -> str:
    """What is wrong, or what would show it."""
    comments = {Verdict.FAILED: criterion.meaning, Verdict.NOT_SHOWN: criterion.advice, Verdict.PASSED: ""}
    return comments[criterion.verdict]


def as_json(gate: Gate, facts: dict[str, Any]) -> str:
    """The same for a program.

    Args:
        gate: the findings.
        facts: what made the labels: checkpoints, settings, thresholds.
    """
    content = {
        "verdict": gate.verdict,
        "passed": gate.passed,
        "failed": gate.named(Verdict.FAILED),
        "not_shown": gate.named(Verdict.NOT_SHOWN),
        **dataclasses.asdict(gate),
        "criteria": [{**dataclasses.asdict(c), "verdict": c.verdict, "found": c.found} for c in gate.criteria],
        "facts": facts,
    }
    return json.dumps(_finite(content), indent=2, ensure_ascii=False)


def share_cells(share: Share) -> tuple[str, ...]:
    """A row under `SHARE_HEAD`."""
    counts = (share.positive, share.negative, share.none)
    return (share.task, share.source, f"{share.num_frames:,}", *(f"{c / share.num_frames:.1%}" for c in counts))


def _finite(content: Any) -> Any:
    """NaN is no JSON: it becomes null."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
