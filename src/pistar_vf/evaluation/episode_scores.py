"""From frames to figures, by way of one row of sums per episode: figures and their intervals need nothing else."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.evaluation.frame_scores import FRAME_MEASURES
from pistar_vf.metrics import auc, episode_spearman, late_values
from pistar_vf.typing import Bool, Float, Int

MEASURES = (*FRAME_MEASURES[:6], "spearman", "auc", "ece", *FRAME_MEASURES[6:])
"""All figures, in the order of tables."""
_NUM_BINS = 10


@dataclasses.dataclass(frozen=True)
class EpisodeScores:
    """What is known of each episode.

    Attributes:
        num_frames: frames scored.
        sums: over frames, of each of `FRAME_MEASURES`.
        spearman: rank correlation of value and target; NaN where the target is constant.
        late_value: mean V of the last quarter of the frames.
        succeeded: whether it ended in success.
        bins: over the frames whose V is in each of ten equal parts of the support: sums of V and of the target.
    """

    num_frames: Int[np.ndarray, " e"]
    sums: Float[np.ndarray, "e measures"]
    spearman: Float[np.ndarray, " e"]
    late_value: Float[np.ndarray, " e"]
    succeeded: Bool[np.ndarray, " e"]
    bins: Float[np.ndarray, "e bins 2"]

    @classmethod
    def of_frames(
        cls,
        frames: dict[str, np.ndarray],
        target: Float[np.ndarray, " t"],
        lengths: Int[np.ndarray, " e"],
        succeeded: Bool[np.ndarray, " e"],
        support: Support,
    ) -> "EpisodeScores":
        """Of some episodes, frame by frame and one after the other.

        Args:
            frames: see `frame_scores`.
            target: value labels.
            lengths: frames of each episode.
            succeeded: which of them did.
            support: of the value.
        """
        value, target = frames["value"].astype(np.float64), target.astype(np.float64)
        error = value - target
        columns = {**frames, "mae": np.abs(error), "mse": error**2}
        layout = EpisodeLayout(lengths)
        stacked = np.stack([columns[name].astype(np.float64) for name in FRAME_MEASURES], axis=1)
        return cls(
            num_frames=lengths,
            sums=layout.sum(stacked),
            spearman=np.array([_spearman(*own) for own in zip(layout.split(value), layout.split(target))]),
            late_value=late_values(value, lengths),
            succeeded=succeeded,
            bins=_bin(value, target, layout, support),
        )

    @classmethod
    def concatenate(cls, parts: Sequence["EpisodeScores"]) -> "EpisodeScores":
        """The episodes of all parts."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def take(self, episodes: Int[np.ndarray, " n"]) -> "EpisodeScores":
        """Some episodes, by position, perhaps several times."""
        return EpisodeScores(**{f.name: getattr(self, f.name)[episodes] for f in dataclasses.fields(self)})

    def figures(self) -> Float[np.ndarray, " measures"]:
        """`MEASURES`; NaN for those that the predictions do not allow.

        Frames weigh the same in whichever episode they are; Spearman is a mean over episodes.
        """
        num_frames = self.num_frames.sum()
        means = self.sums.sum(axis=0) / num_frames
        ordered = self.spearman[np.isfinite(self.spearman)]
        gaps = self.bins.sum(axis=0)
        found = {
            **dict(zip(FRAME_MEASURES, means)),
            "spearman": ordered.mean() if len(ordered) else np.nan,
            "auc": auc(self.late_value, self.succeeded),
            "ece": np.abs(gaps[:, 0] - gaps[:, 1]).sum() / num_frames,
        }
        return np.array([found[name] for name in MEASURES])

    def intervals(
        self, *, level: float = 0.95, num_resamples: int = 2000, seed: int = 0
    ) -> Float[np.ndarray, "2 measures"]:
        """Percentile bootstrap intervals of the figures: episodes are drawn anew, every figure is computed again.

        A figure that a draw does not allow (the AUC of successes alone) is left out of that draw.

        Args:
            level: of confidence, in (0, 1).
            num_resamples: draws with replacement.
            seed: of the draws.

        Returns:
            (low, high) of each of `MEASURES`; NaN for fewer than two episodes.

        References:
            Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
        """
        count = len(self.num_frames)
        rng = np.random.default_rng(seed)
        draws = np.stack([self.take(rng.integers(0, count, count)).figures() for _ in range(num_resamples)])
        usable = np.isfinite(draws).any(axis=0) & (count > 1)
        result = np.full((2, len(MEASURES)), np.nan)
        tail = (1.0 - level) / 2.0
        result[:, usable] = np.nanquantile(draws[:, usable], [tail, 1.0 - tail], axis=0)
        return result


def _spearman(value: np.ndarray, target: np.ndarray) -> float:
    return episode_spearman(value, target, np.zeros(len(value), np.int64))


def _bin(value: np.ndarray, target: np.ndarray, layout: EpisodeLayout, support: Support) -> np.ndarray:
    part = (value - support.v_min) / (support.v_max - support.v_min) * _NUM_BINS
    cell = layout.numbers() * _NUM_BINS + np.clip(part.astype(np.int64), 0, _NUM_BINS - 1)
    size = len(layout.lengths) * _NUM_BINS
    sums = [np.bincount(cell, weights=numbers, minlength=size) for numbers in (value, target)]
    return np.stack(sums, axis=1).reshape(-1, _NUM_BINS, 2)
