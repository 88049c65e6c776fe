"""What baselines are fitted on: training episodes, of the evaluated dataset or of the checkpoint's own."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from pistar_vf.checkpoints.provenance import recorded_parts
from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.errors import ConfigError, PistarError
from pistar_vf.evaluation.config import EvaluationConfig
from pistar_vf.evaluation.source import evaluation_targets
from pistar_vf.frames.open_table import read_state
from pistar_vf.labels.split import episode_strata, select_episodes
from pistar_vf.labels.value_labels import find_value_column
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset, load_lerobot
from pistar_vf.lerobot.metadata import find_dataset
from pistar_vf.typing import Float


@dataclasses.dataclass(frozen=True)
class FittedOn:
    """Episodes whose end is known, with what their frames are worth.

    Attributes:
        dataset: all of its episodes.
        episodes: those to fit on.
        labels: targets of all frames of the dataset.
        strata: outcome and task of every episode of the dataset, by index.
    """

    dataset: LeRobotDataset
    episodes: tuple[Episode, ...]
    labels: Float[np.ndarray, " t"]
    strata: Mapping[int, tuple[str, str]]

    def targets(self, task: str | None = None) -> list[np.ndarray]:
        """Targets of each episode, or of those of one task; of all of them where the task has none."""
        own = [e for e in self.episodes if task is None or self.strata[e.index][1] == task]
        return [self.labels[e.start : e.start + e.length] for e in own or self.episodes]


def read_states(dataset: LeRobotDataset, episodes: tuple[Episode, ...], key: str) -> Float[np.ndarray, "t s"]:
    """States of all frames of some episodes.

    Raises:
        ConfigError: the dataset has no such column.
    """
    if key not in dataset.columns:
        raise ConfigError(f"{dataset.root} has no column '{key}'")
    return read_state(dataset, key, episodes)


def own_training_set(config: EvaluationConfig, spec: ValueSpec) -> FittedOn:
    """The episodes that the checkpoint was trained on, where its dataset still lies.

    Args:
        config: the flags; what they say of outcomes is about the evaluated dataset, so labels of its own come first.
        spec: of the model.

    Raises:
        ConfigError: the checkpoint does not say what it was trained on, or that is not to be had.
    """
    then = spec.trained_on.datasets if spec.trained_on else ()
    if len(then) != 1 or then[0].path is None:
        raise ConfigError(
            "nobody knows which episodes of this dataset are for training, and the checkpoint does not lead to one "
            "dataset that it was trained on"
        )
    try:
        dataset = load_lerobot(find_dataset(then[0].path))
        targets = evaluation_targets(_flags_for(dataset, config, spec), dataset, spec)
    except PistarError as error:
        raise ConfigError(f"the checkpoint's own training set cannot be read: {error}") from error
    known = set(recorded_parts(spec.trained_on, dataset).get("train", ())) - targets.open_ended
    if not known:
        raise ConfigError(f"{dataset.root}: expected the episodes that the checkpoint was trained on, got other ones")
    strata = episode_strata(dataset, targets.labels, targets.outcomes)
    return FittedOn(
        dataset,
        select_episodes(dataset.episodes, sorted(known), "the checkpoint's training episodes"),
        targets.labels,
        dict(zip((episode.index for episode in dataset.episodes), strata)),
    )


def _flags_for(dataset: LeRobotDataset, config: EvaluationConfig, spec: ValueSpec) -> EvaluationConfig:
    """The flags without a list of outcomes, which names other episodes; with labels, without any outcomes."""
    if (spec.label_column or find_value_column(dataset)) in dataset.columns:
        return config.replace(outcome_file=None, outcome_column=None, outcome_rule=None, source=None)
    return config.replace(outcome_file=None)
