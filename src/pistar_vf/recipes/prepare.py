"""From flags to data: the dataset's frames as one table, the split, and what must be remembered about both."""

import dataclasses
import logging
from collections.abc import Callable, Sequence

import jax
import numpy as np

from pistar_vf.checkpoints.provenance import TrainedOn
from pistar_vf.errors import ConfigError
from pistar_vf.frames.loader import Frames, FrameTable
from pistar_vf.frames.mixture import JoinedTable, join_targets, name_rows, place
from pistar_vf.frames.open_table import FrameSource
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.labels.targets import Targets
from pistar_vf.labels.timeouts import Timeouts
from pistar_vf.labels.value_labels import TargetSummary, describe_targets
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.lerobot.row_rules import require_sound_rows
from pistar_vf.messages import DATASET_SIZE
from pistar_vf.questions.language_table import LanguageTable
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.language import open_language_table, vqa_texts
from pistar_vf.recipes.mixture import check_mixture, common_cameras, state_statistics
from pistar_vf.recipes.split import Split, record_data, split_dataset
from pistar_vf.recipes.targets import check_timeouts, training_targets, validation_targets
from pistar_vf.recipes.towers import create_tokenizer, model_image_size
from pistar_vf.tokenizer import PromptTokenizer

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Everything a run reads, and the facts its checkpoints must carry.

    Attributes:
        table: frames of the training dataset, or of several as one.
        train_rows: frames to train on.
        train_parts: the same by dataset.
        val_table: frames of the validation dataset; the same object as `table` when episodes are held out of it.
        val_rows: held-out frames, None without validation.
        camera_keys: model-side camera name to feature.
        tokenizer: of the prompts.
        targets: of the training dataset: what the table's labels are, and what scaled them.
        timeouts: training episodes that were cut off; their labels in `table` are NaN until V fills them in.
        language: questions to train on besides; None for none.
        trained_on: which episodes of which datasets are used for what.
        name_rows: rows of `table` as datasets, episodes and frames, for an error.
    """

    table: Frames
    train_rows: EpisodeRows
    train_parts: tuple[EpisodeRows, ...]
    val_table: Frames
    val_rows: EpisodeRows | None
    camera_keys: dict[str, str | None]
    tokenizer: PromptTokenizer
    targets: Targets
    timeouts: Timeouts
    language: LanguageTable | None
    trained_on: TrainedOn
    name_rows: Callable[[np.ndarray], str]


def prepare_data(config: TrainConfig) -> TrainingData:
    """Opens, checks and decodes the data of a run.

    Raises:
        PistarError: anything about the data or the flags that would make training meaningless.
    """
    datasets = [_load(config, path) for path in config.data.data_dirs]
    check_mixture(config)
    _log.info(DATASET_SIZE.format(frames=sum(dataset.num_frames for dataset in datasets)))
    for dataset in datasets:
        require_sound_rows(dataset)
    places = place(datasets)
    own_targets = training_targets(config, datasets)
    targets = join_targets(own_targets, places, config.data.data_dirs)
    camera_keys = common_cameras(config, datasets)
    splits = [split_dataset(config, dataset, own) for dataset, own in zip(datasets, own_targets)]
    train_parts = tuple(EpisodeRows(p.of(split.train)) for p, split in zip(places, splits))
    train_rows = EpisodeRows(episode for part in train_parts for episode in part.episodes)
    prompts = tuple(dict.fromkeys(prompt for dataset in datasets for prompt in dataset.prompts))
    tokenizer = create_tokenizer(
        config.model, config.max_token_len, prompts, lambda: prompts + vqa_texts(config.questions.vqa)
    )
    statistics = state_statistics(config, datasets, [split.train for split in splits])
    print(_describe(targets, train_rows))
    timeouts = targets.timeouts.among(train_rows.episodes)
    check_timeouts(config, timeouts, train_rows.episodes)

    tables = [
        _frame_table(config, dataset, _in_use(config, split), labels, camera_keys, tokenizer, statistics)
        for dataset, split, labels in zip(
            datasets, splits, np.split(targets.labels, [p.first_row for p in places[1:]]), strict=True
        )
    ]
    table = tables[0] if len(tables) == 1 else JoinedTable(tables, targets.labels)
    held_out = [episode for p, split in zip(places, splits) for episode in p.of(split.val)]
    val_table, val_rows, validation = _validation(config, table, targets, held_out, camera_keys, tokenizer)
    return TrainingData(
        table=table,
        train_rows=train_rows,
        train_parts=train_parts,
        val_table=val_table,
        val_rows=val_rows,
        camera_keys=camera_keys,
        tokenizer=tokenizer,
        targets=targets,
        timeouts=timeouts,
        language=_language_table(config, tokenizer, camera_keys),
        trained_on=record_data(config, datasets, splits, validation and (validation, val_rows.episodes)),
        name_rows=lambda rows: name_rows(datasets, places, rows),
    )


def _load(config: TrainConfig, data_dir: str) -> LeRobotDataset:
    return load_lerobot(data_dir, prompt_column=config.prompt_column, read_ahead=(config.state_key,))


def _describe(targets: Targets, train_rows: EpisodeRows) -> TargetSummary:
    """Of the training episodes, as if they were a dataset of their own."""
    labels = targets.labels[train_rows.at(np.arange(len(train_rows)))]
    outcomes = targets.outcomes and [targets.outcomes[episode.index] for episode in train_rows.episodes]
    return describe_targets(labels, train_rows.layout, outcomes)


def _validation(
    config: TrainConfig,
    table: Frames,
    targets: Targets,
    held_out: Sequence[Episode],
    camera_keys: dict[str, str | None],
    tokenizer: PromptTokenizer,
) -> tuple[Frames, EpisodeRows | None, LeRobotDataset | None]:
    """The frames to validate on, and the dataset of --val_data_dir if they are its; else they are held out."""
    dataset = None
    if config.val_data_dir is not None and config.val_interval > 0:
        dataset = _load(config, config.val_data_dir)
        require_sound_rows(dataset)
        _check_cameras(dataset, camera_keys)
        targets = validation_targets(config, dataset, targets)
        held_out, statistics = dataset.episodes, table.state_statistics
        table = _frame_table(config, dataset, held_out, targets.labels, camera_keys, tokenizer, statistics)
    # Nobody knows what the frames of a time-out are worth: they say nothing about the model.
    open_ones = {episode.index for episode in targets.timeouts.episodes}
    rows = EpisodeRows(episode for episode in held_out if episode.index not in open_ones)
    if not held_out or config.val_interval <= 0:
        return table, None, None
    if len(rows) < config.batch_size:
        raise ConfigError(
            f"the validation set has {len(rows)} frames in {len(rows.episodes)} episode(s), fewer than one batch "
            f"of {config.batch_size}; hold out more (--val_fraction, --val_episodes; time-outs do not count) or pass "
            "--val_interval 0"
        )
    return table, rows, dataset


def _in_use(config: TrainConfig, split: Split) -> tuple[Episode, ...]:
    """The episodes whose frames are read."""
    chosen = {*split.train, *split.val} if config.val_interval > 0 else set(split.train)
    return tuple(sorted(chosen, key=lambda episode: episode.start))


def _language_table(
    config: TrainConfig, tokenizer: PromptTokenizer, camera_keys: dict[str, str | None]
) -> LanguageTable | None:
    settings = config.questions.vqa
    if settings is None:
        return None
    if config.vqa_ratio <= 0 or config.vqa_weight < 0:
        raise ConfigError(
            f"--vqa_ratio {config.vqa_ratio}, --vqa_weight {config.vqa_weight}: expected a ratio above 0 and a weight "
            "of 0 or more; leave out --vqa_data to train without questions"
        )
    return open_language_table(
        settings,
        tokenizer,
        cameras=tuple(sorted(camera_keys)),
        image_size=model_image_size(config.model),
        image_fit=config.image_fit,
        seed=config.seed,
    )


def _frame_table(
    config: TrainConfig,
    dataset: LeRobotDataset,
    episodes: Sequence[Episode],
    labels: np.ndarray,
    camera_keys: dict[str, str | None],
    tokenizer: PromptTokenizer,
    statistics: StateStatistics | None,
) -> FrameTable:
    source = FrameSource(
        dataset,
        camera_keys=camera_keys,
        image_size=model_image_size(config.model),
        image_fit=config.image_fit,
        tokenizer=tokenizer,
        statistics=statistics,
        labels=labels,
        cache_dir=config.cache_dir,
        num_workers=config.num_workers,
        progress=jax.process_index() == 0,
    )
    return source.table(episodes)


def _check_cameras(dataset: LeRobotDataset, camera_keys: dict[str, str | None]) -> None:
    missing = [key for key in camera_keys.values() if key is not None and key not in dataset.camera_keys]
    if missing:
        raise ConfigError(
            f"--val_data_dir {dataset.root} lacks the cameras {missing} of the training data; "
            f"it has {', '.join(dataset.camera_keys)}"
        )
