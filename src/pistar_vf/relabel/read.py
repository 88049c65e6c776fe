"""The columns of a dataset as `Rollouts`, in the units of the model that is to score it."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.errors import LabelError
from pistar_vf.frames.open_table import read_state
from pistar_vf.labels.targets import Targets, episode_tasks, read_targets
from pistar_vf.labels.value_labels import find_value_column, frames_of, read_numbers, read_rewards
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.relabel.rollouts import Rollouts, standing_still
from pistar_vf.returns import OPEN_ENDED, Normaliser, Outcome, find_convention, in_words, terminal_bootstrap
from pistar_vf.typing import Bool, Float, Int

_log = logging.getLogger(__name__)

SOURCE_KEY = "source"
"""Key of an episode's metadata that says which dataset it was merged from."""
PROGRESS = "srpo_progress"
"""The convention of models that were trained on measured progress."""
STILL_TOLERANCE = 0.3
"""Standard deviations of the training states per second: less is standing still."""
_SAME_UNIT = 0.5  # part of an episode's cost by which its own rewards may differ; counts and signs are far beyond


def read_rollouts(
    dataset: LeRobotDataset,
    spec: ValueSpec,
    *,
    outcomes: Mapping[int, Outcome] | None = None,
    reward_column: str | None = None,
    intervention_column: str = "intervention",
    convention: str | None = None,
    still_tolerance: float = STILL_TOLERANCE,
) -> Rollouts:
    """Everything relabelling needs besides values; no picture is decoded.

    Rewards are computed from the outcomes with the model's normaliser, a failure's penalty included; or they are a
    column of the dataset, and its convention says what follows past the end of an episode (see
    `returns.terminal_bootstrap`). Either way no failure's last frames look good for want of a penalty.

    Args:
        dataset: all of its episodes.
        spec: of the model: decides the units.
        outcomes: how every episode ended; None tells it from the value labels.
        reward_column: rewards of the dataset to use instead of computed ones.
        intervention_column: 1 where the operator was driving; a dataset without it has no interventions.
        convention: declared convention of the label columns, None to recognise it.
        still_tolerance: standard deviations of the training states per second; the arm stands still where it moves
            less. 0: it never does.

    Returns:
        Rollouts; targets of time-outs and fragments are NaN, and so are their rewards until `fill_rewards`.

    Raises:
        LabelError: outcomes are unknown, labels contradict them, nothing says what a step is worth, or the reward
            column is in other units than the model's values.
    """
    measured = spec.label_conventions == (PROGRESS,)
    if spec.normaliser is None and not measured:
        _refuse_unknown_unit(spec)
    if outcomes is not None and find_value_column(dataset) in dataset.columns:
        read_targets(dataset, convention=convention, outcomes=outcomes)  # refuses labels that say otherwise
    lengths = dataset.layout.lengths
    keeps: tuple[Outcome, ...] = ()
    if measured or spec.normaliser is None:
        in_units = _measured_progress(dataset, convention, outcomes)
        reward = read_rewards(dataset)
    else:
        unit = spec.normaliser
        in_units = read_targets(dataset, unit.rule, convention=convention, outcomes=outcomes, normaliser=unit)
        if reward_column is None:
            reward = unit.rewards(lengths, tasks_of(dataset, unit), _ended(dataset, in_units))
        else:
            reward, keeps = _own_rewards(dataset, unit, reward_column, convention, in_units.ended)
            reward[frames_of(dataset, in_units.fragments)] = np.nan  # by the length of the piece, if by anything
    ended = _ended(dataset, in_units)
    return _rollouts(
        dataset,
        intervention_column,
        outcomes=ended,
        still=_still(dataset, spec, lengths, still_tolerance),
        reward=reward,
        target=in_units.labels,
        keeps_last_value=np.array([outcome in OPEN_ENDED or outcome in keeps for outcome in ended]),
    )


def _refuse_unknown_unit(spec: ValueSpec) -> NoReturn:
    raise LabelError(
        "expected a checkpoint whose value_spec.json says what a step is worth, got one trained on labels of the "
        f"convention '{in_words(spec.label_conventions)}'; train it with --target paper or episode_ramp, or "
        "declare the convention of its labels with --label_convention"
    )


def _ended(dataset: LeRobotDataset, targets: Targets) -> tuple[Outcome, ...]:
    return tuple(targets.ended[episode.index] for episode in dataset.episodes)


def _rollouts(dataset: LeRobotDataset, intervention_column: str, **columns: Any) -> Rollouts:
    """What a dataset says whatever rewards are, and the columns that depend on it."""
    return Rollouts(
        name=dataset.name,
        lengths=dataset.layout.lengths,
        tasks=dataset.prompts,
        task=dataset.prompt_index().astype(np.int64),
        intervention=_intervention(dataset, intervention_column),
        **columns,
    )


def _measured_progress(
    dataset: LeRobotDataset, declared: str | None, outcomes: Mapping[int, Outcome] | None
) -> Targets:
    """Labels of measured progress, which no outcome can stand in for: the dataset must have its own.

    Raises:
        LabelError: the dataset's labels are of another kind, or an episode is a time-out or a fragment, whose labels
            nobody reads.
    """
    found = read_targets(dataset, convention=declared, outcomes=outcomes)
    if found.conventions != (PROGRESS,) or found.open_ended:
        raise LabelError(
            f"{dataset.root}: expected labels of the convention '{PROGRESS}' in every episode, as the model was "
            f"trained on, got {in_words(found.conventions)} and {len(found.open_ended)} time-outs or fragments; "
            "measure their progress too, or train a model with --target paper or episode_ramp"
        )
    return found


def by_source(rollouts: Rollouts, dataset: LeRobotDataset) -> Rollouts:
    """The same rollouts with their sources in the place of their tasks: what thresholds are cut by.

    Raises:
        LabelError: an episode does not say where it is from.
    """
    silent = [episode.index for episode in dataset.episodes if SOURCE_KEY not in episode.metadata]
    if silent:
        raise LabelError(
            f"{dataset.root}: --threshold_per source: expected the key '{SOURCE_KEY}' in the metadata of every "
            f"episode, as `pistar-vf merge` writes it, got none in episodes {silent[:10]}; pass "
            "--threshold_per task or dataset"
        )
    names, number = np.unique([str(episode.metadata[SOURCE_KEY]) for episode in dataset.episodes], return_inverse=True)
    task = rollouts.layout.spread(number.reshape(-1).astype(np.int64))
    return dataclasses.replace(rollouts, tasks=tuple(names.tolist()), task=task)


def _own_rewards(
    dataset: LeRobotDataset,
    normaliser: Normaliser,
    column: str,
    declared: str | None,
    outcomes: Mapping[int, Outcome],
) -> tuple[Float[np.ndarray, " t"], tuple[Outcome, ...]]:
    """The dataset's rewards and the outcomes past which V stands still."""
    if column not in dataset.columns:
        raise LabelError(f"{dataset.root}: no reward column '{column}'; the columns are {', '.join(dataset.columns)}")
    targets = read_targets(dataset, convention=declared, outcomes=outcomes)
    if targets.normaliser != normaliser:
        raise LabelError(
            f"{dataset.root}: column '{column}' is in other units than the model's values: expected those of "
            f"{normaliser}, got {targets.normaliser} ({in_words(targets.conventions)}); leave out --reward_col, and "
            "rewards are computed from the outcomes"
        )
    conventions = [find_convention(name) for name in targets.conventions]
    if not all(convention.has_rewards for convention in conventions):
        raise LabelError(
            f"column '{column}' of {dataset.root}: expected a convention that says what rewards are, got "
            f"'{in_words(targets.conventions)}', which does not; leave out --reward_col, and they are computed from "
            "the outcomes"
        )
    present = set(outcomes.values())
    keeps = {
        tuple(o for o in Outcome if o in present and terminal_bootstrap(c, o) == "last_value") for c in conventions
    }
    if len(keeps) != 1:
        raise LabelError(
            f"column '{column}' of {dataset.root}: expected one convention, to know whether the last reward of a "
            f"failure carries its penalty, got {in_words(targets.conventions)}; declare it with --label_convention"
        )
    reward = read_numbers(dataset, column)
    _check_units(dataset, normaliser, column, reward, outcomes)
    return reward, keeps.pop()


def _check_units(
    dataset: LeRobotDataset, normaliser: Normaliser, column: str, reward: np.ndarray, outcomes: Mapping[int, Outcome]
) -> None:
    """An episode must cost about what it costs the model; how the cost is spread over its frames is its own affair.

    The last reward is left out, as conventions differ there, and so are time-outs, whose cost nobody knows yet, and
    fragments, whose length says nothing about it.
    """
    layout, ended = dataset.layout, [outcomes[episode.index] for episode in dataset.episodes]
    before_end = layout.steps_left() > 0
    expected = normaliser.rewards(layout.lengths, tasks_of(dataset, normaliser), ended)
    owed, found = (layout.sum(np.where(before_end, rewards, 0.0)) for rewards in (expected, reward))
    wrong = np.abs(found - owed) > _SAME_UNIT * np.abs(owed)  # never for NaN
    wrong &= np.array([outcome is not Outcome.FRAGMENT for outcome in ended])
    if wrong.any():
        first = int(np.argmax(wrong))
        raise LabelError(
            f"{dataset.root}, episode {dataset.episodes[first].index}: column '{column}' is in other units than the "
            f"model's values: expected rewards before the last frame that sum to about {owed[first]:.3g}, got "
            f"{found[first]:.3g}; leave out --reward_col, and rewards are computed from the outcomes"
        )


def tasks_of(dataset: LeRobotDataset, normaliser: Normaliser) -> tuple[str, ...]:
    """The prompt of every episode, for a normaliser that asks for it."""
    return episode_tasks(dataset) if normaliser.rule == "paper" else ("",) * len(dataset.episodes)


def _intervention(dataset: LeRobotDataset, column: str) -> Bool[np.ndarray, " t"]:
    if column not in dataset.columns:
        return np.zeros(dataset.num_frames, bool)
    flags = read_numbers(dataset, column)
    if not np.isin(flags, (0, 1)).all():
        row = int(np.argmax(~np.isin(flags, (0, 1))))
        raise LabelError(
            f"column '{column}' of {dataset.root}, episode {dataset.episode_of(row).index}: expected 0 or 1 in every "
            f"frame, got {flags[row]}; name the column that says where the operator was driving with --human_col"
        )
    return flags == 1


def _still(
    dataset: LeRobotDataset, spec: ValueSpec, lengths: Int[np.ndarray, " e"], tolerance: float
) -> Bool[np.ndarray, " t"]:
    """Nowhere, for a model that does not know the robot's state."""
    if not tolerance or spec.state is None or spec.state.key not in dataset.columns:
        return np.zeros(dataset.num_frames, bool)
    state = read_state(dataset, spec.state.key)
    # A speed, not a step: between frames of a faster camera the same motion is smaller.
    return standing_still(state, lengths, np.array(spec.state.std, np.float32), tolerance / dataset.fps)


def read_upstream_rollouts(
    dataset: LeRobotDataset,
    *,
    reward_column: str,
    intervention_column: str,
    outcomes: Mapping[int, Outcome] | None = None,
    convention: str | None = None,
) -> Rollouts:
    """What upstream's algorithm reads: rewards as they are, whatever their convention; outcomes for the gate alone.

    Args:
        dataset: all of its episodes.
        reward_column: rewards of every frame.
        intervention_column: 1 where the operator was driving.
        outcomes: how every episode ended; None tells it from the value labels, where they show it.
        convention: declared convention of the value labels, None to recognise it.

    Raises:
        LabelError: there is no reward column.
    """
    if reward_column not in dataset.columns:
        raise LabelError(
            f"{dataset.root}: expected the reward column '{reward_column}', as --compat upstream needs it, got "
            f"{', '.join(dataset.columns)}; name it with --reward_col, or label the dataset with `pistar-vf label`"
        )
    ended: tuple[Outcome | None, ...]
    try:
        known = read_targets(dataset, "episode_ramp", convention=convention, outcomes=outcomes)
        ended, target = _ended(dataset, known), known.labels
    except LabelError as error:
        _log.warning("outcomes are unknown to the gate: %s", error)
        ended, target = (None,) * len(dataset.episodes), np.full(dataset.num_frames, np.nan, np.float32)
    return _rollouts(
        dataset,
        intervention_column,
        outcomes=ended,
        still=np.zeros(dataset.num_frames, bool),
        reward=read_numbers(dataset, reward_column),
        target=target,
        keeps_last_value=np.zeros(len(dataset.episodes), bool),
    )
