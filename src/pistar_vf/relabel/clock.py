"""The frame index as a predictor: what a value function must beat to be worth its computation."""

import numpy as np

from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.typing import Bool, Float


def clock_squared_errors(rollouts: Rollouts, seen: Bool[np.ndarray, " e"]) -> Float[np.ndarray, " t"]:
    """(prediction - target)² of the best guess from task and frame index alone.

    The guess for a frame is the mean target that the episodes of its task have at the same frame index; past the last
    index that two of them share, what it was there. The mean, because V is one, too.

    Args:
        rollouts: the frames.
        seen: episodes that the value function was trained on. Of these, the clock may know the target, too; the
            others are guessed from the rest of their task.

    Returns:
        NaN where the target is unknown, and in the only episode of a task.
    """
    starts = rollouts.layout.starts
    task_of_episode = rollouts.task[starts]
    known = np.isfinite(rollouts.target[starts])
    found = np.full(len(rollouts.target), np.nan)
    for task in np.unique(task_of_episode[known]):
        episodes = np.flatnonzero((task_of_episode == task) & known)
        rows = np.concatenate([np.arange(starts[e], starts[e] + rollouts.lengths[e]) for e in episodes])
        found[rows] = _errors_of_task(rollouts, rows, seen)
    return found


def _errors_of_task(rollouts: Rollouts, rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    time = rollouts.frame_index[rows]
    count = np.bincount(time)
    total = np.bincount(time, weights=rollouts.target[rows].astype(np.float64))
    if count[0] < 2:
        return np.full(len(rows), np.nan)
    # Counts never rise with the frame index; past the last one that two episodes share, the guess stands still.
    last_shared = int(np.flatnonzero(count >= 2)[-1])
    shared = np.minimum(time, last_shared)
    own = rollouts.target[rows - time + shared]
    left_out = ~seen[rollouts.episode[rows]]
    guess = (total[shared] - own * left_out) / (count[shared] - left_out)
    return (guess - rollouts.target[rows]) ** 2
