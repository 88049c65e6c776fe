"""Rewards that follow from the values themselves, or from other episodes: of time-outs and of fragments."""

import dataclasses

import numpy as np

from pistar_vf.errors import LabelError
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.relabel.read import tasks_of
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns import Normaliser
from pistar_vf.typing import Float


def fill_rewards(
    rollouts: Rollouts, dataset: LeRobotDataset, normaliser: Normaliser | None, values: Float[np.ndarray, " t"]
) -> Rollouts:
    """Rewards that the dataset does not show.

    Those of a time-out may follow from V of its last frame. A step of a fragment costs what steps cost in the whole
    episodes of its task, on average, or, where there is none, in all whole episodes.

    Raises:
        LabelError: there are fragments alone.
    """
    if not np.isnan(rollouts.reward).any():
        return rollouts
    assert normaliser is not None, "measured progress has no time-outs"
    ended = [outcome for outcome in rollouts.outcomes if outcome is not None]  # all: time-outs are told by outcomes
    last = values[rollouts.layout.last_frames]
    own = normaliser.rewards(rollouts.lengths, tasks_of(dataset, normaliser), ended, last)
    filled = dataclasses.replace(rollouts, reward=np.where(np.isnan(rollouts.reward), own, rollouts.reward))
    return _with_rewards_of_fragments(filled) if np.isnan(filled.reward).any() else filled


def _with_rewards_of_fragments(rollouts: Rollouts) -> Rollouts:
    layout = rollouts.layout
    before_end = layout.steps_left() > 0
    steps = np.maximum(rollouts.lengths - 1, 1)
    mean = layout.sum(np.where(before_end, rollouts.reward, 0.0)) / steps
    task, usable = rollouts.task[layout.starts], rollouts.whole & (rollouts.lengths > 1)
    if not usable.any():
        raise LabelError(
            f"{rollouts.name}: expected whole episodes, to know what a step of a fragment costs, got fragments alone; "
            "merge whole rollouts with them (`pistar-vf merge`)"
        )
    step = np.array([mean[usable & (task == own)].mean() if (usable & (task == own)).any() else np.nan for own in task])
    step = np.where(np.isnan(step), mean[usable].mean(), step)
    reward = np.where(before_end, layout.spread(step), 0.0)
    return dataclasses.replace(
        rollouts, reward=np.where(np.isnan(rollouts.reward), reward, rollouts.reward).astype(rollouts.reward.dtype)
    )
