"""From frames to figures: what is known of each episode, the figures that follow, and how sure they are."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.evaluation.frame_scores import FRAME_MEASURES
from pistar_vf.intervals import auc_interval, auc_p_value, difference_interval, jackknife_interval, ratio_interval
from pistar_vf.metrics import (
    auc_within,
    concordance_by_episode,
    episode_spearman,
    late_values,
    same_time_concordance,
    value_order,
)
from pistar_vf.typing import Bool, Float, Int, Shaped

ORDER_MEASURES = ("spearman", "concordance", "order_success", "order_failure", "auc", "auc_last", "value_gap")
"""Measures of how V orders frames and episodes."""
MEASURES = (*FRAME_MEASURES[:6], *ORDER_MEASURES, "ece", *FRAME_MEASURES[6:])
"""All figures, in the order of tables."""
SHARES = ("top1", "top5", "coverage_50", "coverage_90")
_NUM_BINS = 10


@dataclasses.dataclass(frozen=True)
class EpisodeScores:
    """What is known of each episode, and of its frames, one episode after the other.

    Attributes:
        num_frames: frames scored.
        sums: over frames, of each of `FRAME_MEASURES`.
        succeeded: whether it ended in success.
        task: its prompt.
        bins: over the frames whose V is in each of ten equal parts of the support: sums of V and of the target.
        value: V of every frame.
        target: of every frame.
    """

    num_frames: Int[np.ndarray, " e"]
    sums: Float[np.ndarray, "e measures"]
    succeeded: Bool[np.ndarray, " e"]
    task: Shaped[np.ndarray, " e"]
    bins: Float[np.ndarray, "e bins 2"]
    value: Float[np.ndarray, " t"]
    target: Float[np.ndarray, " t"]

    @classmethod
    def of_frames(
        cls,
        frames: dict[str, np.ndarray],
        target: Float[np.ndarray, " t"],
        lengths: Int[np.ndarray, " e"],
        succeeded: Bool[np.ndarray, " e"],
        support: Support,
        task: Sequence[str] | None = None,
    ) -> "EpisodeScores":
        """Of some episodes, frame by frame and one after the other.

        Args:
            frames: see `frame_scores`.
            target: value labels.
            lengths: frames of each episode.
            succeeded: which of them did.
            support: of the value.
            task: the prompt of each episode; None for one task.
        """
        value, target = frames["value"].astype(np.float64), target.astype(np.float64)
        error = value - target
        columns = {**frames, "mae": np.abs(error), "mse": error**2}
        layout = EpisodeLayout(lengths)
        stacked = np.stack([columns[name].astype(np.float64) for name in FRAME_MEASURES], axis=1)
        return cls(
            num_frames=lengths,
            sums=layout.sum(stacked),
            succeeded=succeeded,
            task=np.array([""] * len(lengths) if task is None else list(task)),
            bins=_bin(value, target, layout, support),
            value=value,
            target=target,
        )

    @classmethod
    def concatenate(cls, parts: Sequence["EpisodeScores"]) -> "EpisodeScores":
        """The episodes of all parts."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def take(self, episodes: Int[np.ndarray, " n"]) -> "EpisodeScores":
        """Some episodes, by position, perhaps several times."""
        names = ("num_frames", "sums", "succeeded", "task", "bins")
        frames = {
            name: np.concatenate([parts[episode] for episode in episodes])
            for name, parts in (("value", self.layout.split(self.value)), ("target", self.layout.split(self.target)))
        }
        return EpisodeScores(**{name: getattr(self, name)[episodes] for name in names}, **frames)

    @functools.cached_property
    def layout(self) -> EpisodeLayout:
        """How frames divide into episodes."""
        return EpisodeLayout(self.num_frames)

    @functools.cached_property
    def late_value(self) -> Float[np.ndarray, " e"]:
        """Mean V of the last quarter of each episode's frames."""
        return late_values(self.value, self.num_frames)

    @functools.cached_property
    def last_value(self) -> Float[np.ndarray, " e"]:
        """V of each episode's last frame."""
        return self.value[self.layout.last_frames]

    @functools.cached_property
    def mean_value(self) -> Float[np.ndarray, " e"]:
        """Mean V of each episode's frames."""
        return self.layout.mean(self.value)

    @functools.cached_property
    def spearman(self) -> Float[np.ndarray, " e"]:
        """Rank correlation of value and target; NaN where the target is constant."""
        return np.array([_spearman(*own) for own in zip(self.layout.split(self.value), self.layout.split(self.target))])

    @functools.cached_property
    def order(self) -> Float[np.ndarray, " e"]:
        """Rank correlation of value and time, see `metrics.value_order`."""
        return value_order(self.value, self.num_frames)

    @functools.cached_property
    def auc_p_value(self) -> float:
        """How often outcomes that are drawn at random within each task give the AUC of the last quarter, or more."""
        return auc_p_value(self.late_value, self.succeeded, self._group)

    def figures(self) -> Float[np.ndarray, " measures"]:
        """`MEASURES`; NaN for those that the predictions do not allow.

        Frames weigh the same in whichever episode they are; correlations are means over episodes.
        """
        gaps, num_frames = self.bins.sum(axis=0), self.num_frames.sum()
        won, lost = self.succeeded, ~self.succeeded
        found = {
            **dict(zip(FRAME_MEASURES, self.sums.sum(axis=0) / num_frames)),
            "spearman": _mean(self.spearman),
            "concordance": same_time_concordance(*self._frames_in_time),
            "order_success": _mean(self.order[won]),
            "order_failure": _mean(self.order[lost]),
            "auc": auc_within(self.late_value, won, self._group),
            "auc_last": auc_within(self.last_value, won, self._group),
            "value_gap": _mean(self.mean_value[won]) - _mean(self.mean_value[lost]),
            "ece": np.abs(gaps[:, 0] - gaps[:, 1]).sum() / num_frames,
        }
        return np.array([found[name] for name in MEASURES])

    def intervals(self) -> Float[np.ndarray, "2 measures"]:
        """(low, high) of each of `MEASURES`, see `pistar_vf.intervals`.

        NaN below five episodes, where all agree exactly, and for the calibration error: a sum of absolute gaps is
        larger in few episodes than in many, so that no interval around it holds the truth as often as it should.
        """
        won = self.succeeded
        groups = [
            (int((won & (self._group == g)).sum()), int((~won & (self._group == g)).sum())) for g in set(self._group)
        ]
        figures = dict(zip(MEASURES, self.figures()))
        found = {
            name: ratio_interval(self.sums[:, column], self.num_frames, top=1.0 if name in SHARES else np.inf)
            for column, name in enumerate(FRAME_MEASURES)
        }
        found |= {
            "spearman": _correlation_interval(self.spearman),
            "concordance": self._concordance_interval(figures["concordance"]),
            "order_success": _correlation_interval(self.order[won]),
            "order_failure": _correlation_interval(self.order[~won]),
            "auc": auc_interval(figures["auc"], groups),
            "auc_last": auc_interval(figures["auc_last"], groups),
            "value_gap": difference_interval(self.mean_value[won], self.mean_value[~won]),
        }
        return np.array([found.get(name, (np.nan, np.nan)) for name in MEASURES]).T

    def by_task(self) -> list[dict[str, str | int | float]]:
        """What tells tasks apart: of each its episodes and the figures that need no other task."""
        rows = []
        for number, name in enumerate(np.unique(self.task)):
            own = self.take(np.flatnonzero(self._group == number))
            figures = dict(zip(MEASURES, own.figures()))
            counts = {"successes": int(own.succeeded.sum()), "failures": int((~own.succeeded).sum())}
            rows.append({"task": str(name), **counts, **{m: figures[m] for m in ("mae", *ORDER_MEASURES)}})
        return rows

    def _concordance_interval(self, figure: float) -> tuple[float, float]:
        right, pairs = concordance_by_episode(*self._frames_in_time)
        # Every pair is counted at both of its episodes: without one of them it is gone from both.
        left = pairs.sum() - 2 * pairs
        with np.errstate(divide="ignore", invalid="ignore"):
            return jackknife_interval(figure, np.where(left > 0, (right.sum() - 2 * right) / left, np.nan)[pairs > 0])

    @property
    def _group(self) -> Int[np.ndarray, " e"]:
        return np.unique(self.task, return_inverse=True)[1].reshape(-1)

    @property
    def _frames_in_time(self) -> tuple[np.ndarray, ...]:
        """Value, target, episode, position in the episode and task of every frame."""
        layout = self.layout
        return self.value, self.target, layout.numbers(), layout.frame_index(), layout.spread(self._group)


def _mean(figures: np.ndarray) -> float:
    known = figures[np.isfinite(figures)]
    return float(known.mean()) if len(known) else float("nan")


def _correlation_interval(figures: np.ndarray) -> tuple[float, float]:
    known = figures[np.isfinite(figures)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = ratio_interval(known + 1.0, np.ones(len(known)), top=2.0)
    return low - 1.0, high - 1.0


def _spearman(value: np.ndarray, target: np.ndarray) -> float:
    return episode_spearman(value, target, np.zeros(len(value), np.int64))


def _bin(value: np.ndarray, target: np.ndarray, layout: EpisodeLayout, support: Support) -> np.ndarray:
    part = (value - support.v_min) / (support.v_max - support.v_min) * _NUM_BINS
    cell = layout.numbers() * _NUM_BINS + np.clip(part.astype(np.int64), 0, _NUM_BINS - 1)
    size = len(layout.lengths) * _NUM_BINS
    sums = [np.bincount(cell, weights=numbers, minlength=size) for numbers in (value, target)]
    return np.stack(sums, axis=1).reshape(-1, _NUM_BINS, 2)
