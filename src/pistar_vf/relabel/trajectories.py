"""Whole trajectories under a value model: how good each was, and which are the best."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.relabel.label import KEPT, POSITIVE, Labels
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.relabel.select_config import Choice, Measure
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool, Float

HEAD = ("episode", "frames", "outcome", "mean A", "positive", "V at end", "prompt")
_NOBODY_KNOWS = float("nan")
_OF_OUTCOME = {
    Outcome.SUCCESS: 1.0,
    Outcome.TIMEOUT: 0.5,
    Outcome.FAILURE: 0.0,
    Outcome.FRAGMENT: _NOBODY_KNOWS,
    None: _NOBODY_KNOWS,
}


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """One episode.

    Attributes:
        episode_index: its number in the dataset.
        prompt: of its first frame.
        outcome: how it ended; None where nobody knows.
        num_frames: its length.
        mean_advantage: over its frames.
        share_positive: of its frames, the operator's included.
        value_at_end: V of its last frame.
    """

    episode_index: int
    prompt: str
    outcome: Outcome | None
    num_frames: int
    mean_advantage: float
    share_positive: float
    value_at_end: float

    def cells(self) -> tuple[str, ...]:
        """A row under `HEAD`."""
        return (
            str(self.episode_index),
            str(self.num_frames),
            str(self.outcome or "unknown"),
            f"{self.mean_advantage:+.4f}",
            f"{self.share_positive:.1%}",
            f"{self.value_at_end:.3f}",
            self.prompt,
        )

    def score(self, measure: Measure) -> float:
        """By one measure; a success counts 1, a time-out ½, a failure 0, and nobody knows what a fragment counts."""
        return _OF_OUTCOME[self.outcome] if measure == "outcome" else getattr(self, measure)


def score_trajectories(
    values: Float[np.ndarray, " t"], rollouts: Rollouts, labels: Labels, episode_indices: Sequence[int]
) -> list[Trajectory]:
    """The measures of every episode, in the order of the dataset.

    Args:
        values: V of every frame.
        rollouts: the frames.
        labels: their advantages and indicators.
        episode_indices: the number of each episode.
    """
    ends = np.cumsum(rollouts.lengths)
    starts = ends - rollouts.lengths
    good = np.isin(labels.code, (POSITIVE, KEPT))
    return [
        Trajectory(
            episode_index=int(index),
            prompt=rollouts.tasks[rollouts.task[start]],
            outcome=outcome,
            num_frames=int(end - start),
            mean_advantage=float(labels.advantage[start:end].mean()),
            share_positive=float(good[start:end].mean()),
            value_at_end=float(values[end - 1]),
        )
        for index, outcome, start, end in zip(episode_indices, rollouts.outcomes, starts, ends, strict=True)
    ]


def rank(trajectories: Sequence[Trajectory], by: Measure = "mean_advantage") -> list[Trajectory]:
    """Best first; those without a score last."""
    return sorted(trajectories, key=lambda t: (*_falling(t.score(by)), *_falling(t.mean_advantage), t.episode_index))


def select(ranked: Sequence[Trajectory], choice: Choice) -> Bool[np.ndarray, " e"]:
    """Which of the ranked trajectories are taken."""
    scores = np.array([trajectory.score(choice.by) for trajectory in ranked])
    if choice.threshold is not None:
        return scores >= choice.threshold
    count = len(ranked)
    if choice.top_share is not None:
        count = max(1, round(choice.top_share * len(ranked)))
    elif choice.top is not None:
        count = choice.top
    return np.arange(len(ranked)) < count


def _falling(score: float) -> tuple[bool, float]:
    return bool(np.isnan(score)), -score


def write_list(path: Path, ranked: Sequence[Trajectory], taken: Bool[np.ndarray, " e"], by: Measure) -> Path:
    """A CSV with a row per trajectory, best first."""
    names = [field.name for field in dataclasses.fields(Trajectory)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["rank", "selected", "score", *names])
    for rank, (trajectory, chosen) in enumerate(zip(ranked, taken, strict=True), 1):
        row = [_shown(getattr(trajectory, name)) for name in names]
        writer.writerow([rank, int(chosen), _shown(trajectory.score(by)), *row])
    write_whole(path, text.getvalue())
    return path


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "unknown" if value is None else str(value)


def as_table(ranked: Sequence[Trajectory], taken: Bool[np.ndarray, " e"], show: int = 20) -> str:
    """The same for a terminal, the first rows of it."""
    pairs = list(zip(ranked, taken, strict=True))[:show]
    rows = [("", *HEAD), *(("*" if chosen else " ", *trajectory.cells()) for trajectory, chosen in pairs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(lines + ([f"… and {len(ranked) - show} more"] if len(ranked) > show else []))
