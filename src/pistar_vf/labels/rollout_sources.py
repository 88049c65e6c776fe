"""Rollouts of LeRobot's own programs, whose columns mean what the program that recorded them means by them."""

import logging

import numpy as np

from pistar_vf.choices import RolloutSource
from pistar_vf.errors import DatasetError, LabelError
from pistar_vf.labels.value_labels import find_value_column, read_numbers
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.frame_numbers import INTERVENTION_COLUMN, frame_numbers
from pistar_vf.returns import Outcome, labelled_outcomes
from pistar_vf.typing import Bool, Float

_log = logging.getLogger(__name__)

EVAL_COLUMN = "next.success"
"""What `lerobot-eval` records; in LIBERO and Meta-World an episode ends early with a success and else by time."""
DONE_COLUMN = "next.done"
"""What it records besides: true where an episode came to its end, of whatever kind."""


def outcomes_of_source(dataset: LeRobotDataset, source: RolloutSource, *, labelled: bool) -> dict[int, Outcome]:
    """The outcomes of rollouts as the program that recorded them means its columns.

    Args:
        dataset: whose episodes are asked about.
        source: the program.
        labelled: value labels that the dataset has are meant: of "lerobot_dagger", an episode that has them is whole.

    Raises:
        LabelError: the dataset is none of that program's, or holds something other than flags.
    """
    if source == "lerobot_dagger":
        return _outcomes_of_dagger(dataset, labelled)
    _require(dataset, EVAL_COLUMN, source)
    succeeded = _episodes(dataset, flagged_episodes(dataset, EVAL_COLUMN))
    return _each(dataset, Outcome.TIMEOUT) | dict.fromkeys(succeeded, Outcome.SUCCESS)


def correction_windows(dataset: LeRobotDataset) -> tuple[int, ...]:
    """Episodes in which the operator drives from the first frame to the last: with `lerobot-rollout`'s DAgger, pieces
    of an episode that begin in mid-task and end when the policy takes over again.

    Raises:
        LabelError: the dataset has no flags of interventions.
    """
    _require(dataset, INTERVENTION_COLUMN, "lerobot_dagger")
    return tuple(_episodes(dataset, dataset.layout.all(_flags(dataset, INTERVENTION_COLUMN) == 1)))


def flagged_episodes(dataset: LeRobotDataset, column: str) -> Bool[np.ndarray, " e"]:
    """Episodes in which a flag is up somewhere; none without the column.

    Raises:
        LabelError: the column holds something other than flags.
    """
    if column not in dataset.columns:
        return np.zeros(len(dataset.episodes), bool)
    return dataset.layout.any(_flags(dataset, column) == 1)


def _outcomes_of_dagger(dataset: LeRobotDataset, labelled: bool) -> dict[int, Outcome]:
    """That program knows no episodes: it saves windows of corrections, or cuts by file size wherever the robot is.

    Of other rollouts that were merged in, an episode is whole if something says how it ended: a success, its end alone,
    or value labels. A window of corrections is a fragment whatever they say.
    """
    windows = correction_windows(dataset)
    found = _each(dataset, Outcome.FRAGMENT)
    found |= dict.fromkeys(_episodes(dataset, flagged_episodes(dataset, DONE_COLUMN)), Outcome.TIMEOUT)
    found |= _labelled(dataset) if labelled else {}
    found |= dict.fromkeys(_episodes(dataset, flagged_episodes(dataset, EVAL_COLUMN)), Outcome.SUCCESS)
    found |= dict.fromkeys(windows, Outcome.FRAGMENT)
    fragments = sum(outcome is Outcome.FRAGMENT for outcome in found.values())
    _log.info(
        "%s: %d of %d episodes are fragments, %d of them windows of corrections",
        dataset.root,
        fragments,
        len(found),
        len(windows),
    )
    return found


def _labelled(dataset: LeRobotDataset) -> dict[int, Outcome]:
    """Episodes with a value label in every frame, and what their labels say."""
    column = find_value_column(dataset)
    if column not in dataset.columns:
        return {}
    ended = labelled_outcomes(read_numbers(dataset, column), dataset.layout)
    pairs = zip(dataset.episodes, ended, strict=True)
    return {episode.index: outcome for episode, outcome in pairs if outcome is not Outcome.TIMEOUT}


def _each(dataset: LeRobotDataset, outcome: Outcome) -> dict[int, Outcome]:
    return dict.fromkeys((episode.index for episode in dataset.episodes), outcome)


def _episodes(dataset: LeRobotDataset, chosen: Bool[np.ndarray, " e"]) -> list[int]:
    return [episode.index for episode, own in zip(dataset.episodes, chosen, strict=True) if own]


def _require(dataset: LeRobotDataset, column: str, source: RolloutSource) -> None:
    if column not in dataset.columns:
        raise LabelError(
            f"{dataset.root}: expected the column '{column}', which --source {source} speaks of, got "
            f"{sorted(dataset.columns)}"
        )


def _flags(dataset: LeRobotDataset, column: str) -> Float[np.ndarray, " t"]:
    try:
        flags = frame_numbers(dataset.read_column(column), f"column '{column}' of {dataset.root}")
    except DatasetError as error:
        raise LabelError(str(error)) from error
    wrong = ~np.isin(flags, (0, 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(
            f"column '{column}' of {dataset.root}, episode {dataset.episode_of(row).index}: expected 0 or 1 in every "
            f"frame, got {flags[row]:g}; correct the column, or give the outcomes in a file (--outcome_file)"
        )
    return flags
