"""How good values and labels are, against what the simulator knows. Intervals: 95 %, whole episodes drawn anew."""

import dataclasses

import numpy as np
from scipy.stats import t as student

from pistar_vf.intervals import auc_interval, jackknife_interval
from pistar_vf.metrics import auc, concordance_by_episode, late_values
from pistar_vf.relabel.clock import Clock
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.typing import Bool, Float, Int
from simulated.truth import Truth

MIN_GAP = 0.2
"""Difference of progress from which two episodes at the same time are told apart."""
_RESOLUTION = 1e-3
"""Gains of progress closer than this are equal: an arm that stands still trembles."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; NaN where there is none."""

    figure: float
    low: float = float("nan")
    high: float = float("nan")

    def __str__(self) -> str:
        between = "" if np.isnan(self.low) else f" ({self.low:.2f} … {self.high:.2f})"
        return f"{self.figure:.2f}{between}"


@dataclasses.dataclass(frozen=True)
class ValueQuality:
    """Of V on the episodes of one task.

    Attributes:
        same_time: concordance with true progress of episodes at the same frame index; a clock has 0.5.
        auc: success against failure by V of the last quarter.
        rms: root mean square distance to the target.
        rms_of_clock: the clock's.
    """

    same_time: Estimate
    auc: Estimate
    rms: float
    rms_of_clock: float

    @classmethod
    def measure(cls, value: Float[np.ndarray, " t"], truth: Truth, rollouts: Rollouts, task: int) -> "ValueQuality":
        """Of the episodes of a task, by its position in `truth.tasks`."""
        frames, episodes = truth.task_of_frames == task, truth.task == task
        late = late_values(value, truth.lengths)
        won = truth.succeeded
        found = auc(late[episodes], won[episodes])
        error = (value - rollouts.target)[frames]
        clock = np.nanmean(Clock.of(rollouts).squared_error[frames])
        sizes = [(int((episodes & won).sum()), int((episodes & ~won).sum()))]
        return cls(
            same_time=_same_time(value, truth, frames),
            auc=Estimate(found, *auc_interval(found, sizes)),
            rms=float(np.sqrt((error**2).mean())),
            rms_of_clock=float(np.sqrt(clock)),
        )


def _same_time(value: np.ndarray, truth: Truth, frames: np.ndarray) -> Estimate:
    layout = truth.layout
    columns = (value, truth.progress, layout.numbers(), layout.frame_index())
    chosen = [column[frames] for column in columns]
    right, pairs = concordance_by_episode(*chosen, np.zeros(int(frames.sum()), np.int64), min_gap=MIN_GAP)
    if not pairs.any():
        return Estimate(float("nan"))
    own = pairs > 0
    # Every pair is counted at both of its episodes; without one of them it is gone from both.
    left_out = (right.sum() - 2 * right[own]) / np.maximum(pairs.sum() - 2 * pairs[own], 1e-9)
    figure = float(right.sum() / pairs.sum())
    return Estimate(figure, *jackknife_interval(figure, left_out))


@dataclasses.dataclass(frozen=True)
class LabelQuality:
    """How labels follow the progress gained over N frames.

    Attributes:
        share: of frames that are positive.
        share_in_failures: of the frames of failures.
        overall: AUC of "positive" for the gain; knowing the outcome alone is enough for a high one.
        in_failures: the same inside failures, where it is not.
        in_successes: the same inside successes.
    """

    share: float
    share_in_failures: float
    overall: Estimate
    in_failures: Estimate
    in_successes: Estimate


class GainAuc:
    """AUC of "positive" for the gain of progress, for the episodes as they are and for draws of them.

    Args:
        gain: of every frame.
        episode: number of each frame's episode, from 0.
        inside: frames that count.
    """

    def __init__(self, gain: Float[np.ndarray, " t"], episode: Int[np.ndarray, " t"], inside: Bool[np.ndarray, " t"]):
        self._rows = np.flatnonzero(inside)
        self._episode = episode[self._rows]
        levels = np.round(gain[self._rows] / _RESOLUTION).astype(np.int64)
        self._level = np.unique(levels, return_inverse=True)[1].reshape(-1)

    def of(self, positive: Bool[np.ndarray, " t"], weight: Float[np.ndarray, " e"]) -> float:
        """With episodes counted so often; one half where all or no frames are positive, which tells nothing apart.

        The chance that a positive frame's gain is above that of another frame, ties counting half.
        """
        own, weights = positive[self._rows], weight[self._episode]
        ups, downs = (np.bincount(self._level, weights=weights * chosen) for chosen in (own, ~own))
        pairs = ups.sum() * downs.sum()
        below = np.cumsum(downs) - downs
        return float((ups * (below + downs / 2)).sum() / pairs) if pairs else 0.5


class LabelJudge:
    """Judges labels of one task; all of them on the same draws of episodes, so that differences are paired."""

    def __init__(self, truth: Truth, task: int, num_frames: int, *, draws: int = 400, seed: int = 0):
        self._truth, self._task = truth, task
        inside, won = truth.task_of_frames == task, truth.success_of_frames
        gain, episode = truth.gain(num_frames), truth.layout.numbers()
        parts = {"overall": inside, "in_failures": inside & ~won, "in_successes": inside & won}
        self._parts = parts
        self._measures = {name: GainAuc(gain, episode, part) for name, part in parts.items()}
        self._draws = self._draw(draws, seed)

    def quality(self, positive: Bool[np.ndarray, " t"]) -> LabelQuality:
        """Of these labels."""
        found = {name: self._estimate(self._all_draws(name, positive)) for name in self._measures}
        shares = [float(positive[self._parts[name]].mean()) for name in ("overall", "in_failures")]
        return LabelQuality(*shares, **found)

    def better_in_failures(self, one: Bool[np.ndarray, " t"], other: Bool[np.ndarray, " t"]) -> Estimate:
        """AUC inside failures of one labelling minus another's."""
        return self._estimate(self._all_draws("in_failures", one) - self._all_draws("in_failures", other))

    def _all_draws(self, name: str, positive: np.ndarray) -> np.ndarray:
        """First for the episodes as they are."""
        return np.array([self._measures[name].of(positive, weight) for weight in self._draws])

    @staticmethod
    def _estimate(figures: np.ndarray) -> Estimate:
        drawn = figures[1:][np.isfinite(figures[1:])]
        between = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (float("nan"),) * 2
        return Estimate(float(figures[0]), *map(float, between))

    def _draw(self, draws: int, seed: int) -> np.ndarray:
        """How often each episode counts: once, then drawn with replacement within outcomes."""
        rng, truth = np.random.default_rng(seed), self._truth
        weights = np.zeros((draws + 1, len(truth.lengths)))
        for won in (False, True):
            own = np.flatnonzero((truth.task == self._task) & (truth.succeeded == won))
            weights[0, own] = 1
            for row in weights[1:]:
                row += np.bincount(rng.choice(own, len(own)), minlength=len(row)) if len(own) else 0
        return weights


def paired_difference(one: Bool[np.ndarray, "seeds starts"], other: Bool[np.ndarray, "seeds starts"]) -> Estimate:
    """Success rate of one arm minus another's, both with the same seeds and starts.

    Both seeds and starts are draws, so the variance is that of the means by seed plus that of the means by start, less
    that of single rollouts, which is in both (two-way clusters). Student's t with as many degrees of freedom as the
    fewer of the two allow.

    References:
        Cameron, Gelbach & Miller, "Robust inference with multiway clustering", Journal of Business & Economic
        Statistics 29, 2011.
    """
    difference = one.astype(np.float64) - other
    seeds, starts = difference.shape
    figure = float(difference.mean())
    if min(seeds, starts) < 2:
        return Estimate(figure)
    by_seed = difference.mean(1).var(ddof=1) / seeds
    by_start = difference.mean(0).var(ddof=1) / starts
    variance = max(by_seed + by_start - difference.var(ddof=1) / difference.size, by_seed, by_start)
    half = float(student.ppf(0.975, min(seeds, starts) - 1) * np.sqrt(variance))
    return Estimate(figure, figure - half, figure + half)
