"""Finds what is to be evaluated: the model, and the dataset that the flags or the checkpoint name."""

import contextlib
import dataclasses
from pathlib import Path

from pistar_vf.checkpoints.layout import find_checkpoint
from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.curation.free_folders.open import dataset_of_folders
from pistar_vf.errors import ConfigError, DatasetError, LabelError
from pistar_vf.evaluation.config import EvaluationConfig
from pistar_vf.hub.address import is_hub_address
from pistar_vf.inference.predictor import ValuePredictor, load_value_model
from pistar_vf.labels.outcomes import outcomes_of_flags
from pistar_vf.labels.targets import Targets, read_targets
from pistar_vf.labels.value_labels import find_value_column
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode import ALL_EPISODES, EpisodeChoice
from pistar_vf.lerobot.metadata import find_dataset
from pistar_vf.returns import in_words


@dataclasses.dataclass(frozen=True)
class Source:
    """A restored model and the dataset to run it on.

    Attributes:
        checkpoint: where the model is from.
        predictor: the model.
        dataset: all of its episodes.
    """

    checkpoint: Path
    predictor: ValuePredictor
    dataset: LeRobotDataset


def open_source(config: EvaluationConfig) -> Source:
    """Opens both and checks that they fit.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
        ConfigError: flags name no dataset, or different ones.
        DatasetError: the dataset is missing or damaged, or lacks a camera of the model.
    """
    checkpoint = find_checkpoint(config.checkpoint)
    predictor = load_value_model(checkpoint)
    state = predictor.spec.state
    place = _dataset_place(config, predictor.spec)
    choice = _choice(config, predictor.spec, place)
    dataset = load_lerobot(place, choice=choice, read_ahead=() if state is None else (state.key,))
    if config.video_root is not None and config.parquet_dir is None:
        _check_videos(config.video_root, dataset)
    missing = [key for key in predictor.spec.camera_keys.values() if key and key not in dataset.camera_keys]
    if missing:
        raise DatasetError(
            f"{dataset.root}: expected the cameras of training, it lacks {', '.join(missing)}; it has "
            f"{', '.join(dataset.camera_keys)}"
        )
    return Source(checkpoint, predictor, dataset)


def evaluation_targets(config: EvaluationConfig, dataset: LeRobotDataset, spec: ValueSpec) -> Targets:
    """The targets of a dataset in the unit of the model's values.

    Labels of the model's own convention are taken as they are; others are computed anew from the episodes' outcomes.

    Raises:
        LabelError: neither is possible, or the outcomes are unknown.
    """
    outcomes = outcomes_of_flags(dataset, config)
    column = spec.label_column or find_value_column(dataset)
    if column in dataset.columns:
        own = read_targets(dataset, column=column, outcomes=outcomes)
        alike = own.conventions == spec.label_conventions or set(own.conventions) & set(spec.label_conventions)
        if own.normaliser == spec.normaliser and alike:
            return own
    if spec.normaliser is None:
        raise LabelError(
            f"{dataset.root}: expected value labels of the convention '{in_words(spec.label_conventions)}' in column "
            f"'{column}', as the model was trained on, got others; its value_spec.json does not say what a step is "
            "worth, so they cannot be computed. Evaluate it on the kind of labels it was trained on"
        )
    return read_targets(dataset, spec.normaliser.rule, outcomes=outcomes, normaliser=spec.normaliser)


def _choice(config: EvaluationConfig, spec: ValueSpec, place: str | Path) -> EpisodeChoice:
    """Of a dataset on the hub, the episodes that the model knows are enough, where no others are asked for."""
    then = spec.trained_on.datasets if spec.trained_on else ()
    others = config.split == "all" or config.part.ratios is not None or getattr(config, "episodes", None) is not None
    path = then[0].path if len(then) == 1 else None
    if others or path is None or not (is_hub_address(place) and is_hub_address(path)):
        return ALL_EPISODES
    if find_dataset(place) != find_dataset(path):
        return ALL_EPISODES
    return EpisodeChoice(only=tuple(sorted({*then[0].train, *then[0].val, *then[0].test})))


def _dataset_place(config: EvaluationConfig, spec: ValueSpec) -> str | Path:
    named = {"--data_dir": config.data_dir and find_dataset(config.data_dir)}
    if config.parquet_dir is not None:
        named["--parquet_dir"] = dataset_of_folders(config.parquet_dir, config.video_root, config.cache_dir)
    found = {flag: root for flag, root in named.items() if root is not None}
    if len({root.resolve() for root in found.values()}) > 1:
        raise ConfigError(
            "expected one dataset, got " + " and ".join(f"{flag} {root}" for flag, root in found.items()) + "; "
            "pass only one of the two"
        )
    if config.data_dir and is_hub_address(config.data_dir):
        return config.data_dir
    if found:
        return next(iter(found.values()))
    then = spec.trained_on.datasets if spec.trained_on else ()
    if len(then) == 1 and then[0].path is not None:
        with contextlib.suppress(DatasetError):  # it has moved
            root = find_dataset(then[0].path)
            return then[0].path if is_hub_address(then[0].path) else root
    known = " and ".join(f"{dataset.name}, then at {dataset.path}" for dataset in then) or "nobody knows what"
    raise ConfigError(
        f"--data_dir: expected it, as the checkpoint does not lead to one dataset (it was trained on {known}); "
        "pass the dataset's folder"
    )


def _check_videos(folder: Path, dataset: LeRobotDataset) -> None:
    """Refuses a folder that holds no video of the dataset."""
    files = [dataset.video_path(e, key) for e in dataset.episodes for key in dataset.video_keys]
    folder = folder.expanduser()
    if not any(file.absolute().is_relative_to(folder.absolute()) for file in files) and not any(
        file.resolve().is_relative_to(folder.resolve()) for file in files
    ):
        where = f"such as {files[0]}" if files else "but it has none"
        raise ConfigError(
            f"--video_root {folder}: expected a folder with files of {dataset.root}, {where}; leave the flag out, as "
            "the dataset says itself where its files are"
        )
