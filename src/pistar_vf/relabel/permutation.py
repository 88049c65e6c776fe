"""An exact question: does V know more than the time?

What belongs to whole episodes of one task is exchanged, the units that are independent of each other, to see how often
chance does as well as the data.
"""

import math

import numpy as np

from pistar_vf.episode_layout import evenly_spread
from pistar_vf.typing import Float, Int

NUM_DRAWS = 1000
_MAX_EPISODES = 400
_ROUNDING = 1e-9


def trajectories(
    values: Float[np.ndarray, " t"], frame_index: Int[np.ndarray, " t"], episode: Int[np.ndarray, " t"]
) -> Float[np.ndarray, "e time"]:
    """One row per episode, in the order of their numbers; NaN where an episode has no such frame."""
    numbers, row = np.unique(episode, return_inverse=True)
    found = np.full((len(numbers), int(frame_index.max(initial=-1)) + 1), np.nan)
    found[row, frame_index] = values
    return found


def same_time_p_value(
    values: Float[np.ndarray, " t"],
    target: Float[np.ndarray, " t"],
    frame_index: Int[np.ndarray, " t"],
    episode: Int[np.ndarray, " t"],
    task: Int[np.ndarray, " t"],
) -> float:
    """Chance that V of other episodes fits the targets as well, at the same frame index.

    The statistic is the covariance of V and target over episodes, each frame index by itself, so all that depends on
    the time alone cancels: for a clock every exchange does as well, and the p-value is 1. An episode that gets V of a
    shorter one is compared as far as that goes; each comparison is weighed by how much it may contribute, else the
    longer, unexchanged ones would win.

    Args:
        values: V of some frames.
        target: of the same frames, all known.
        frame_index: position of each frame in its episode.
        episode: number of each frame's episode.
        task: of each frame.

    Returns:
        In (0, 1]; 1 without two episodes of one task.
    """
    rng = np.random.default_rng(0)
    own, drawn = 0.0, np.zeros(NUM_DRAWS)
    for number in np.unique(task):
        rows = task == number
        episodes = np.unique(episode[rows])  # more than so many would not make the answer surer
        rows &= np.isin(episode, episodes[evenly_spread(len(episodes), _MAX_EPISODES)])
        fit = _fits(*(trajectories(figure[rows], frame_index[rows], episode[rows]) for figure in (values, target)))
        own += np.trace(fit)
        orders = np.argsort(rng.random((NUM_DRAWS, len(fit))), axis=1)
        drawn += fit[orders, np.arange(len(fit))].sum(axis=1)
    return float((1 + (drawn >= own - _ROUNDING).sum()) / (len(drawn) + 1))


# The arguments of `same_time_p_value`, written out again: two public functions that are called alone.
def same_time_slope(
    values: Float[np.ndarray, " t"],
    target: Float[np.ndarray, " t"],
    frame_index: Int[np.ndarray, " t"],
    episode: Int[np.ndarray, " t"],
    task: Int[np.ndarray, " t"],
) -> float:
    """How much of what the targets of a task's episodes differ by at the same frame index V differs by.

    Args:
        values: V of some frames.
        target: of the same frames, all known.
        frame_index: position of each frame in its episode.
        episode: number of each frame's episode.
        task: of each frame.

    Returns:
        The slope of V over target after what each frame index has on average is taken out: 1 for a V that is right on
        average, 0 for a clock; NaN where targets never differ.
    """
    together = total = 0.0
    for number in np.unique(task):
        rows = task == number
        moved = [trajectories(figure[rows], frame_index[rows], episode[rows]) for figure in (values, target)]
        value, wanted = (_centred(trajectory)[0] for trajectory in moved)
        together, total = together + float((value * wanted).sum()), total + float((wanted**2).sum())
    return together / total if total else math.nan


def _fits(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[of whom V is, of whom the target is]: covariance over the frames that both have."""
    (value, value_std), (wanted, target_std) = _centred(values), _centred(target)
    there = np.isfinite(values).astype(float)
    weight = (there * value_std * target_std) @ there.T
    return np.divide(value @ wanted.T, weight, out=np.zeros_like(weight), where=weight > _ROUNDING)


def _centred(trajectory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences from the mean at each time, 0 where there is nothing to compare; and their standard deviations."""
    there = np.isfinite(trajectory)
    count = np.maximum(there.sum(axis=0), 1)
    filled = np.where(there, trajectory, 0.0)
    difference = np.where(there, filled - filled.sum(axis=0) / count, 0.0)
    difference[np.abs(difference) < _ROUNDING] = 0.0  # a clock's, whatever rounding made of it
    return difference, np.sqrt((difference**2).sum(axis=0) / count)
