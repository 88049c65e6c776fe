"""The frame index as a predictor: what a value function must beat to be worth its computation."""

import dataclasses

import numpy as np

from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.typing import Float


@dataclasses.dataclass(frozen=True)
class Clock:
    """The best guess from task and frame index alone, for every frame.

    Attributes:
        guess: mean target that the other episodes of the task have at the same frame index, over frames in which the
            policy acted; past the last index that another has, what it was there. NaN in a task with one episode.
        squared_error: of the true mean, an unbiased estimate: the guess misses it by the chance of few episodes, which
            would make any V look better than a clock. NaN where the target is unknown or no other episode has one.
    """

    guess: Float[np.ndarray, " t"]
    squared_error: Float[np.ndarray, " t"]

    @classmethod
    def of(cls, rollouts: Rollouts) -> "Clock":
        """The clock of a dataset; which episodes a model has seen makes no difference to it."""
        known = rollouts.autonomous & np.isfinite(rollouts.target)
        guess, error = (np.full(len(known), np.nan) for _ in range(2))
        for task in np.unique(rollouts.task):
            rows = np.flatnonzero(rollouts.task == task)
            guess[rows], error[rows] = _of_task(rollouts, rows, known[rows])
        return cls(guess, error)


def _of_task(rollouts: Rollouts, rows: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    time, target = rollouts.frame_index[rows], np.nan_to_num(rollouts.target[rows].astype(np.float64))
    count = np.bincount(time, weights=known)
    total = np.bincount(time, weights=target * known)
    others = count[time] - known
    with np.errstate(invalid="ignore", divide="ignore"):
        guess = (total[time] - target * known) / others
    # (y - mean of the others)² is too large by the variance of that mean, a factor of count / (count - 1).
    error = np.where(known & (others > 0), (guess - target) ** 2 * others / np.maximum(others + 1, 1), np.nan)
    return _held(guess, rollouts.episode[rows]), error


def _held(guess: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """NaN becomes the last guess before it in the same episode, else the first after it."""
    place, known = np.arange(len(guess)), np.isfinite(guess)
    before = np.maximum.accumulate(np.where(known, place, 0))
    after = np.minimum.accumulate(np.where(known, place, len(guess) - 1)[::-1])[::-1]
    found = np.full(len(guess), np.nan)
    for other in (after, before):  # where there are both, the one before
        usable = known[other] & (episode[other] == episode)
        found[usable] = guess[other[usable]]
    return found
