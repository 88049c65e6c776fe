"""A labelled copy of a dataset from settings: `pistar-vf label`."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from pistar_vf.curation.chosen import renumbered_copy
from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.errors import ConfigError
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.split import parse_choice
from pistar_vf.labels.targets import measure_normaliser
from pistar_vf.labels.value_labels import describe_targets, read_value_labels
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.recipes.label_config import LabelConfig
from pistar_vf.returns import OPEN_ENDED, Normaliser, Outcome
from pistar_vf.returns.outcome import counted_outcome

_EPISODE_RAMP = (
    "a step costs 1/T of its own episode, so that a slow success is worth as much as a fast one; for labels that a "
    "policy learns from, --target paper is the better choice: a step costs the same in every episode of a task"
)


def run_label(config: LabelConfig) -> Path:
    """Writes the copy, prints what a model would be trained on, and returns where the copy is.

    Raises:
        PistarError: anything about the flags or the data that would give labels nobody can trust.
    """
    dataset = load_lerobot(config.data_dir, choice=parse_choice(config.episodes, config.leave_out))
    outcomes = read_outcomes(
        dataset,
        outcome=config.outcome,
        outcome_column=config.outcome_column,
        outcome_file=config.outcome_file,
        outcome_rule=config.outcome_rule,
        source=config.source,
    )
    with renumbered_copy(dataset, config.output_dir) as whole:
        renumbered = dict(zip((episode.index for episode in whole.episodes), outcomes.values(), strict=True))
        return _write(config, whole, renumbered)


def _write(config: LabelConfig, dataset: LeRobotDataset, outcomes: Mapping[int, Outcome]) -> Path:
    output_dir = write_labelled_copy(
        dataset,
        config.output_dir,
        outcomes,
        intervention_column=config.intervention_column,
        timeout_as=config.timeout_as,
        convention=config.convention or "recap",
        normaliser=_normaliser(config, dataset, outcomes),
        overwrite_labels=config.overwrite_labels,
    )
    labelled = load_lerobot(output_dir)
    counted = {index: counted_outcome(outcome, config.timeout_as) for index, outcome in outcomes.items()}
    open_ended = [index for index, outcome in counted.items() if outcome in OPEN_ENDED]
    ended = [counted[episode.index] for episode in labelled.episodes]
    print(describe_targets(read_value_labels(labelled, timeouts=open_ended), labelled.layout, ended))
    if config.target == "episode_ramp":
        print(_EPISODE_RAMP)
    print(f"labelled dataset: {output_dir}; train on it with: {_train_command(config, bool(open_ended))}")
    return output_dir


def _normaliser(config: LabelConfig, dataset: LeRobotDataset, outcomes: Mapping[int, Outcome]) -> Normaliser | None:
    """What scales the paper's target; None for a convention, which an episode alone decides."""
    if config.target == "episode_ramp":
        Normaliser("episode_ramp", failure_penalty=config.failure_penalty)  # refuses a penalty
        return None
    if config.convention is not None:
        raise ConfigError(
            f"--convention {config.convention}: expected --target episode_ramp with it, got --target paper, which is a "
            "convention of its own; leave one of the two out"
        )
    return measure_normaliser([dataset], "paper", config.failure_penalty, outcomes=[outcomes])


def _train_command(config: LabelConfig, open_ended: bool) -> str:
    """Time-outs and fragments must be declared again: their labels alone do not say why they are empty."""
    words = ["pistar-vf", "train", "--data_dir", str(config.output_dir)]
    words += ["--checkpoint_dir", f"checkpoints/{config.output_dir.name}", "--load_pretrained"]
    for flag in ("outcome_column", "outcome_file", "outcome_rule", "source") if open_ended else ():
        if getattr(config, flag) is not None:
            words += [f"--{flag}", str(getattr(config, flag))]
    return shlex.join(words)
