"""Targets as the flags ask for them: of the training data, and of a second dataset in the same unit."""

import logging
from collections.abc import Mapping, Sequence

from pistar_vf.errors import LabelError
from pistar_vf.frames.mixture import Place
from pistar_vf.labels.outcomes import outcomes_of_flags
from pistar_vf.labels.targets import IN_FRAMES, Targets, measure_normaliser, read_targets, tasks_of_rule
from pistar_vf.labels.timeouts import Timeouts
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.lambda_returns import Ends
from pistar_vf.returns import Normaliser, Outcome, in_words

_log = logging.getLogger(__name__)


def training_targets(config: TrainConfig, datasets: Sequence[LeRobotDataset]) -> list[Targets]:
    """The targets of each training dataset, computed ones in one unit.

    Raises:
        PistarError: see `read_targets`.
    """
    outcomes = [outcomes_of_flags(dataset, config) for dataset in datasets]
    normaliser = None
    if config.target != "dataset":
        normaliser = measure_normaliser(datasets, config.target, config.failure_penalty, outcomes=outcomes)
    targets = [_targets(config, *pair, normaliser) for pair in zip(datasets, outcomes)]
    if normaliser is None and len(datasets) > 1 and {each.conventions for each in targets} == {(IN_FRAMES,)}:
        together = measure_normaliser(datasets, "paper", outcomes=outcomes)
        return [_targets(config, *pair, together) for pair in zip(datasets, outcomes)]
    return targets


def validation_targets(config: TrainConfig, dataset: LeRobotDataset, trained: Targets) -> Targets:
    """Of --val_data_dir, in the unit of the training targets; `--outcome_file` is about --data_dir only.

    Raises:
        PistarError: see `read_targets`.
    """
    outcomes = outcomes_of_flags(dataset, config.replace(outcome_file=None))
    targets = _targets(config, dataset, outcomes, trained.normaliser)
    if targets.conventions != trained.conventions:
        _log.warning(
            "the labels of %s follow the convention '%s', those of the training data '%s': validation may measure the "
            "difference between the two",
            dataset.root,
            in_words(targets.conventions),
            in_words(trained.conventions),
        )
    return targets


def check_timeouts(config: TrainConfig, timeouts: Timeouts, train_episodes: Sequence[Episode]) -> None:
    """Refuses what cannot be bootstrapped.

    Raises:
        LabelError: nothing but time-outs to train on.
    """
    if len(timeouts.episodes) == len(train_episodes):
        raise LabelError(
            f"expected training episodes whose end is known, got {len(train_episodes)} time-outs and nothing else; "
            "add successes and failures"
        )


def ends_of_training(
    config: TrainConfig,
    datasets: Sequence[LeRobotDataset],
    places: Sequence[Place],
    targets: Targets,
    episodes: Sequence[Episode],
) -> Ends | None:
    """What λ-returns need to know of the training episodes; None where nobody asked for them.

    Args:
        config: the run.
        datasets: to train on.
        places: where each is among all.
        targets: of all of them.
        episodes: to train on, numbered in the whole.

    Raises:
        LabelError: the labels do not say what a step is worth, or how the episodes ended.
    """
    if config.target_lambda == 1.0:
        return None
    if targets.normaliser is None or targets.outcomes is None:
        raise LabelError(
            f"--target_lambda {config.target_lambda:g}: expected targets that say what a step is worth and how every "
            f"episode ended, got labels by the convention {in_words(targets.conventions)}; pass --target paper and how "
            "the episodes ended (--outcome_column or --outcome_file)"
        )
    tasks = {
        episode.index: task
        for dataset, place in zip(datasets, places, strict=True)
        for episode, task in zip(place.of(dataset.episodes), tasks_of_rule(dataset, targets.normaliser.rule))
    }
    indices = [episode.index for episode in episodes]
    outcomes = tuple(targets.outcomes[index] for index in indices)
    return Ends(tuple(tasks[index] for index in indices), outcomes, targets.normaliser)


def _targets(
    config: TrainConfig,
    dataset: LeRobotDataset,
    outcomes: Mapping[int, Outcome] | None,
    normaliser: Normaliser | None,
) -> Targets:
    return read_targets(
        dataset,
        config.target,
        column=config.value_column,
        convention=config.label_convention,
        outcomes=outcomes,
        failure_penalty=config.failure_penalty,
        normaliser=normaliser,
    )
