"""A labelled copy of a dataset from settings: `pistar-vf label`."""

from pathlib import Path

import numpy as np

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.errors import ConfigError
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.targets import episode_tasks
from pistar_vf.labels.value_labels import describe_targets, read_value_labels
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.recipes.label_config import LabelConfig
from pistar_vf.returns import Normaliser, Outcome
from pistar_vf.returns.outcome import counted_outcome


def run_label(config: LabelConfig) -> Path:
    """Writes the copy, prints what a model would be trained on, and returns where the copy is.

    Raises:
        PistarError: anything about the flags or the data that would give labels nobody can trust.
    """
    dataset = load_lerobot(config.data_dir)
    outcomes = read_outcomes(
        dataset, outcome=config.outcome, outcome_column=config.outcome_column, outcome_file=config.outcome_file
    )
    output_dir = write_labelled_copy(
        dataset,
        config.output_dir,
        outcomes,
        intervention_column=config.intervention_column,
        timeout_as=config.timeout_as,
        convention=config.convention or "recap",
        normaliser=_normaliser(config, dataset),
        overwrite_labels=config.overwrite_labels,
    )
    labelled = load_lerobot(output_dir)
    counted = {index: counted_outcome(outcome, config.timeout_as) for index, outcome in outcomes.items()}
    timeouts = [index for index, outcome in counted.items() if outcome is Outcome.TIMEOUT]
    ended = [counted[episode.index] for episode in labelled.episodes]
    print(describe_targets(read_value_labels(labelled, timeouts=timeouts), labelled.layout, ended))
    print(f"labelled dataset: {output_dir}; train on it with: {_train_command(config, bool(timeouts))}")
    return output_dir


def _normaliser(config: LabelConfig, dataset: LeRobotDataset) -> Normaliser | None:
    """What scales the paper's target; None for a convention, which an episode alone decides."""
    if config.target == "episode_ramp":
        Normaliser("episode_ramp", failure_penalty=config.failure_penalty)  # refuses a penalty
        return None
    if config.convention is not None:
        raise ConfigError(
            f"--convention {config.convention}: expected --target episode_ramp with it, got --target paper, which is a "
            "convention of its own; leave one of the two out"
        )
    lengths = np.array([episode.length for episode in dataset.episodes], np.int64)
    return Normaliser.measure("paper", lengths, episode_tasks(dataset), config.failure_penalty)


def _train_command(config: LabelConfig, timeouts: bool) -> str:
    """Time-outs must be declared again: their labels alone do not say why they are empty."""
    command = f"pistar-vf train --data_dir {config.output_dir} --checkpoint_dir checkpoints/{config.output_dir.name}"
    if not timeouts:
        return command
    flag, source = ("column", config.outcome_column) if config.outcome_column else ("file", config.outcome_file)
    return f"{command} --outcome_{flag} {source}"
