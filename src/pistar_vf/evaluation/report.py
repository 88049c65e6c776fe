"""The figures of an evaluation for people and for programs: a table, and JSON."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from pistar_vf.evaluation.episode_scores import MEASURES, SHARES, EpisodeScores
from pistar_vf.intervals import MIN_EPISODES

MODEL = "model"
LABELS = {
    "loss": "loss (nats)",
    "kl": "KL (nats)",
    "top1": "top-1",
    "top5": "top-5",
    "mae": "MAE",
    "mse": "MSE",
    "spearman": "Spearman",
    "concordance": "same-time concordance",
    "order_success": "value order, successes",
    "order_failure": "value order, failures",
    "auc": "AUC, last quarter",
    "auc_last": "AUC, last frame",
    "value_gap": "V success - failure",
    "ece": "calibration error",
    "coverage_50": "50 % coverage",
    "coverage_90": "90 % coverage",
}
_OF_SEVERAL = ("concordance", "order_success", "order_failure", "auc", "auc_last", "value_gap")
"""Figures that a single episode does not have, or has under another name."""
_COST_OF_A_CAMERA = ("mae", "concordance", "auc", "value_gap")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Figures of a value model and of baselines.

    Attributes:
        facts: what was evaluated on what.
        episodes: index, outcome and task of the episodes scored.
        scores: of the model and of each baseline, episode by episode.
        missing: baselines that could not be fitted, and why.
        blanked: of the model with one camera black, by the camera.
    """

    facts: dict[str, Any]
    episodes: list[dict[str, Any]]
    scores: dict[str, EpisodeScores]
    missing: dict[str, str]
    blanked: dict[str, EpisodeScores] = dataclasses.field(default_factory=dict)

    @classmethod
    def join(cls, parts: Sequence["Evaluation"], **facts: Any) -> "Evaluation":
        """Of several models that share the episodes of a dataset; a baseline that one of them lacks is missing.

        Args:
            parts: at least one.
            **facts: replace those of the first part; counts are added up.
        """
        about = [episode for part in parts for episode in part.episodes]
        order = np.argsort([episode["episode_index"] for episode in about])

        def joined(kind: str) -> dict[str, EpisodeScores]:
            every = [getattr(part, kind) for part in parts]
            names = [name for name in every[0] if all(name in scores for scores in every)]
            return {n: EpisodeScores.concatenate([scores[n] for scores in every]).take(order) for n in names}

        counts = ("num_timeouts_left_out", "num_fragments_left_out", "num_trained_on")
        added = {name: sum(part.facts[name] for part in parts) for name in counts}
        return cls(
            facts={**parts[0].facts, **added, **facts},
            episodes=[about[position] for position in order],
            scores=joined("scores"),
            missing={name: reason for part in parts for name, reason in part.missing.items()},
            blanked=joined("blanked"),
        )

    def to_json(self) -> str:
        """Everything, indented; figures that are undefined are null."""
        content = {
            **self.facts,
            "baselines_missing": self.missing,
            "figures": {name: _with_intervals(scores) for name, scores in self.scores.items()},
            "auc_p_value": _number(self.scores[MODEL].auc_p_value),
            "tasks": {name: [_finite(row) for row in scores.by_task()] for name, scores in self.scores.items()},
            "blank_cameras": {name: _with_intervals(scores) for name, scores in self.blanked.items()},
            "episodes": [self._episode(position, about) for position, about in enumerate(self.episodes)],
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def _episode(self, position: int, about: dict[str, Any]) -> dict[str, Any]:
        own = self.scores[MODEL].take(np.array([position]))
        measured = {m: _number(value) for m, value in zip(MEASURES, own.figures()) if m not in _OF_SEVERAL}
        values = {"late_value": own.late_value, "last_value": own.last_value, "mean_value": own.mean_value}
        values |= {"value_order": own.order}
        facts = {**about, "num_frames": int(own.num_frames[0])}
        return {**facts, **{name: _number(float(value[0])) for name, value in values.items()}, **measured}

    def tables(self) -> list[Table]:
        """For a terminal: the model with its intervals beside the baselines; tasks and blanked cameras if several."""
        tables = [self._figures()]
        if len(rows := self.scores[MODEL].by_task()) > 1:
            tables.append(self._tasks(rows))
        if self.blanked:
            tables.append(self._cameras())
        return tables

    def _figures(self) -> Table:
        facts = self.facts
        title = (
            f"{facts['dataset']}, {facts['split']}: {len(self.episodes)} episodes, "
            f"{int(self.scores[MODEL].num_frames.sum()):,} frames"
        )
        table = Table(title=escape(title), caption=escape("\n".join(self.notes())), box=box.SIMPLE)
        for heading in ("measure", MODEL, "interval", *list(self.scores)[1:]):
            table.add_column(heading, no_wrap=heading in ("measure", "interval"))
        low, high = self.scores[MODEL].intervals()
        figures = [scores.figures() for scores in self.scores.values()]
        for row, name in enumerate(MEASURES):
            values = [in_words(name, own[row]) for own in figures]
            interval = "–" if np.isnan(low[row]) else f"{in_words(name, low[row])} … {in_words(name, high[row])}"
            table.add_row(LABELS[name], values[0], interval, *values[1:])
        return table

    def _tasks(self, rows: list[dict[str, Any]]) -> Table:
        table = Table(title="by task", box=box.SIMPLE)
        names = ("mae", "concordance", "auc", "auc_last", "value_gap")
        for heading in ("task", "successes", "failures", *(LABELS[name] for name in names)):
            table.add_column(heading)
        for row in rows:
            counts = str(row["successes"]), str(row["failures"])
            table.add_row(escape(row["task"]), *counts, *(in_words(name, row[name]) for name in names))
        return table

    def _cameras(self) -> Table:
        table = Table(title="the same frames with one camera black", box=box.SIMPLE)
        for heading in ("measure", MODEL, *self.blanked):
            table.add_column(escape(heading))
        every = [dict(zip(MEASURES, s.figures())) for s in (self.scores[MODEL], *self.blanked.values())]
        for name in _COST_OF_A_CAMERA:
            table.add_row(LABELS[name], *(in_words(name, figures[name]) for figures in every))
        return table

    def notes(self) -> list[str]:
        """What to know besides the figures, a sentence each."""
        notes = [f"no {name}: {reason}" for name, reason in self.missing.items()]
        if len(self.episodes) < MIN_EPISODES:
            notes.append(f"no intervals below {MIN_EPISODES} episodes")
        elif not math.isnan(chance := self.scores[MODEL].auc_p_value):
            notes.append(f"AUC, last quarter: p = {chance:.4f} (outcomes exchanged at random within each task)")
        if self.facts["num_timeouts_left_out"]:
            notes.append(f"{self.facts['num_timeouts_left_out']} time-outs are left out: nobody knows their value")
        if self.facts["num_fragments_left_out"]:
            notes.append(f"{self.facts['num_fragments_left_out']} fragments of episodes are left out, too")
        if self.facts["num_trained_on"]:
            notes.append(f"the model was trained on {self.facts['num_trained_on']} of these episodes: it looks better")
        if self.facts.get("baseline_dataset") not in (None, self.facts["dataset"]):
            notes.append(
                f"baselines are fitted on {self.facts['num_baseline_episodes']} episodes of "
                f"{self.facts['baseline_dataset']}, the checkpoint's own training set"
            )
        return notes


def _with_intervals(scores: EpisodeScores) -> dict[str, dict[str, float | None]]:
    low, high = scores.intervals()
    rows = zip(MEASURES, scores.figures(), low, high)
    return {m: {"value": _number(v), "low": _number(a), "high": _number(b)} for m, v, a, b in rows}


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _number(value) if isinstance(value, float) else value for name, value in row.items()}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def in_words(measure: str, value: float) -> str:
    """A figure, as tables show it."""
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.1%}" if measure in SHARES else f"{value:.4f}"
