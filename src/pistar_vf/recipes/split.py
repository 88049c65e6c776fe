"""Which episodes train, validate and test, as the flags say; written down so that evaluation finds the same ones."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.checkpoints.layout import SPEC_FILE, complete_steps
from pistar_vf.checkpoints.provenance import RecordedDataset, SplitRule, TrainedOn, seen_episodes
from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.foreign_files import read_object
from pistar_vf.labels.split import (
    PARTS,
    draw_folds,
    parse_episodes,
    select_episodes,
    split_by_ratio,
    split_episodes,
    whole_episodes,
)
from pistar_vf.labels.targets import Targets
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.preflight import resume_folder

FILE_NAME = "split.json"


@dataclasses.dataclass(frozen=True)
class Split:
    """The episodes of one dataset.

    Attributes:
        train: trained on.
        val: validated on.
        test: never looked at.
    """

    train: tuple[Episode, ...]
    val: tuple[Episode, ...]
    test: tuple[Episode, ...] = ()


def split_dataset(config: TrainConfig, dataset: LeRobotDataset, targets: Targets) -> Split:
    """The split that the flags ask for; fragments are in no part, even where flags name them.

    Raises:
        ConfigError: flags name episodes that are not there, or leave none to train on.
        LabelError: the dataset holds fragments alone.
    """
    ratios = config.split.ratios
    whole, strata = whole_episodes(dataset, targets.labels, targets.outcomes)
    if config.fold is not None:
        return _fold(config, whole, strata)
    if ratios is None:
        return Split(*_by_episodes_or_fraction(config, dataset, whole, strata))
    return Split(*split_by_ratio(whole, ratios, config.split_seed, strata))


def _fold(config: TrainConfig, whole: Sequence[Episode], strata: Sequence[tuple[str, str]]) -> Split:
    """One fold held out, to be watched in training and scored by this model; the others trained on."""
    held_out = draw_folds(whole, config.folds, config.split_seed, strata)[config.fold]
    train = tuple(episode for episode in whole if episode not in held_out)
    return Split(train, held_out if config.val_interval > 0 else ())


def record_data(
    config: TrainConfig,
    datasets: Sequence[LeRobotDataset],
    splits: Sequence[Split],
    validation: tuple[LeRobotDataset, Sequence[Episode]] | None,
) -> TrainedOn:
    """What the run's checkpoints will say about its data.

    Args:
        config: the run's settings.
        datasets: to train on.
        splits: of each.
        validation: the dataset of --val_data_dir, and the episodes of it that are looked at.
    """
    ratios = config.split.ratios
    used = PARTS if validation is None else ("train", "test")  # held out of training, but not looked at
    return TrainedOn(
        datasets=tuple(
            RecordedDataset.of(dataset, str(path), **{part: _indices(getattr(split, part)) for part in used})
            for dataset, path, split in zip(datasets, config.data.data_dirs, splits)
        ),
        validation=validation
        and RecordedDataset.of(validation[0], str(config.val_data_dir), val=_indices(validation[1])),
        num_frames=sum(dataset.num_frames for dataset in datasets),
        split=None if ratios is None else SplitRule(ratios, config.split_seed),
        weights=tuple(config.data_weight),
    )


def keep_split_file(config: TrainConfig, trained_on: TrainedOn) -> None:
    """Writes `<checkpoint_dir>/split.json`; a resumed run must have the split that is there.

    Raises:
        ConfigError: the checkpoints in this folder were trained on another split.
    """
    path, description = Path(config.checkpoint_dir) / FILE_NAME, trained_on.facts()
    if complete_steps(path.parent):
        if config.resume_from_checkpoint is not None and path.is_file():
            _check_same(path, read_object(path, "the split of a run", ConfigError), description)
        return  # not resuming will be refused; and what is there belongs to the checkpoints
    if jax.process_index() == 0:
        write_whole(path, json.dumps(description, indent=2, ensure_ascii=False) + "\n")


def _began_with(config: TrainConfig, dataset: LeRobotDataset, train: Sequence[Episode]) -> bool:
    """Whether a resumed run was trained on these episodes: the draw of before outcomes and tasks kept their shares.

    What it drew then is in the spec of its checkpoints, in every version of them. Of other data, which is refused
    elsewhere, the model knows no episode.
    """
    try:
        resumed = resume_folder(config.run)
    except CheckpointError:  # there is none of that name, which is refused elsewhere
        return False
    if resumed is None or not (resumed / SPEC_FILE).is_file():
        return False
    trained_on = load_value_spec(resumed).trained_on
    return seen_episodes(trained_on, dataset) == {episode.index for episode in train}


def _check_same(path: Path, kept: dict[str, Any], now: dict[str, Any]) -> None:
    drawn = kept.get("split")
    if drawn is None and now["split"] is None:
        return  # then the seed and the training episodes say everything, and those are compared elsewhere
    if drawn == now["split"] and all(kept.get(name) == now[name] for name in now if name.endswith("_episodes")):
        return
    wanted = "no --train_ratio, --val_ratio and --test_ratio"
    if drawn is not None:
        ratios = " ".join(f"--{part}_ratio {drawn[part]:g}" for part in PARTS)
        wanted = f"{ratios} --split_seed {drawn['seed']}"
    raise ConfigError(
        f"--resume_from_checkpoint: expected the split in {path}, got another one; pass {wanted} and the same data as "
        "then, or start a new run"
    )


def _indices(episodes: Sequence[Episode]) -> tuple[int, ...]:
    return tuple(episode.index for episode in episodes)


def _by_episodes_or_fraction(
    config: TrainConfig, dataset: LeRobotDataset, whole: tuple[Episode, ...], strata: Sequence[tuple[str, str]]
) -> tuple[tuple[Episode, ...], tuple[Episode, ...]]:
    """(train, held out) episodes of the training dataset."""
    val: tuple[Episode, ...] = ()
    train = whole
    if config.val_episodes is not None:
        val = _named(config.val_episodes, "--val_episodes", dataset, whole)
        train = tuple(episode for episode in whole if episode not in val)
    elif config.val_interval > 0 and config.val_data_dir is None and config.train_episodes is None:
        train, val = split_episodes(whole, config.val_fraction, config.seed, strata)
        once = split_episodes(whole, config.val_fraction, config.seed)
        if _began_with(config, dataset, once[0]):
            train, val = once
    if config.train_episodes is not None:
        train = _named(config.train_episodes, "--train_episodes", dataset, whole)
    both = {episode.index for episode in train} & {episode.index for episode in val}
    if both:
        raise ConfigError(f"episodes {sorted(both)[:10]} are in both --train_episodes and --val_episodes")
    if not train:
        raise ConfigError(
            "no episode is left to train on: --val_episodes holds out all of them, or --train_episodes names fragments "
            "alone"
        )
    return train, val if config.val_interval > 0 else ()


def _named(text: str, flag: str, dataset: LeRobotDataset, whole: Sequence[Episode]) -> tuple[Episode, ...]:
    named = select_episodes(dataset.episodes, parse_episodes(text, flag), flag)
    return tuple(episode for episode in named if episode in whole)
