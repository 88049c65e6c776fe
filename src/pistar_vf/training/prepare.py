"""From flags to data: the dataset's frames as one table, the split, and what must be remembered about both."""

import dataclasses
import logging

import jax
import numpy as np

from pistar_vf.data.labels import describe_targets, find_value_column, read_value_labels, recognise_convention
from pistar_vf.data.lerobot import Episode, LeRobotDataset, choose_cameras, load_lerobot
from pistar_vf.data.loader import EpisodeRows, FrameTable
from pistar_vf.data.open_table import open_frame_table, read_state
from pistar_vf.data.split import parse_episodes, select_episodes, split_episodes
from pistar_vf.data.state_stats import StateStatistics
from pistar_vf.data.tokenizer import PromptTokenizer, resolve_tokenizer, train_prompt_tokenizer
from pistar_vf.errors import ConfigError
from pistar_vf.messages import DATASET_SIZE, TOKENIZER
from pistar_vf.models import gemma3, siglip
from pistar_vf.training.config import TrainConfig

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Everything a run reads, and the facts its checkpoints must carry.

    Attributes:
        table: frames of the training dataset.
        train_rows: frames to train on.
        val_table: frames of the validation dataset; the same object as `table` when episodes are held out of it.
        val_rows: held-out frames, None without validation.
        camera_keys: model-side camera name to feature.
        tokenizer: of the prompts.
        label_column, label_convention: where the targets came from and which rule made them.
        description: of the dataset, for provenance.
    """

    table: FrameTable
    train_rows: EpisodeRows
    val_table: FrameTable
    val_rows: EpisodeRows | None
    camera_keys: dict[str, str | None]
    tokenizer: PromptTokenizer
    label_column: str
    label_convention: str
    description: dict


def prepare_data(config: TrainConfig) -> TrainingData:
    """Opens, checks and decodes the data of a run.

    Raises:
        PistarError: anything about the data or the flags that would make training meaningless.
    """
    dataset = load_lerobot(config.data_dir, prompt_column=config.prompt_column)
    _log.info(DATASET_SIZE.format(frames=dataset.num_frames))
    column = config.value_column or find_value_column(dataset)
    labels = read_value_labels(dataset, column)
    camera_keys = choose_cameras(dataset, config.image_key, config.wrist_image_key, config.extra_image_keys)
    train_episodes, val_episodes = _split(config, dataset)
    tokenizer = _tokenizer(config, dataset)
    statistics = _state_statistics(config, dataset, train_episodes)
    print(describe_targets(_labels_of(labels, train_episodes), _renumbered(train_episodes)))

    table = _frame_table(config, dataset, labels, camera_keys, tokenizer, statistics)
    val_table = table
    if config.val_data_dir is not None and config.val_interval > 0:
        val_dataset = load_lerobot(config.val_data_dir, prompt_column=config.prompt_column)
        _check_cameras(val_dataset, camera_keys)
        val_labels = read_value_labels(val_dataset, config.value_column)
        val_table = _frame_table(config, val_dataset, val_labels, camera_keys, tokenizer, statistics)
        val_episodes = val_dataset.episodes
    val_rows = EpisodeRows(val_episodes) if val_episodes else None
    if val_rows is not None and len(val_rows) < config.batch_size:
        raise ConfigError(
            f"the validation set has {len(val_rows)} frames in {len(val_episodes)} episode(s), fewer than one batch "
            f"of {config.batch_size}; hold out more (--val_fraction, --val_episodes) or pass --val_interval 0"
        )
    return TrainingData(
        table=table,
        train_rows=EpisodeRows(train_episodes),
        val_table=val_table,
        val_rows=val_rows,
        camera_keys=camera_keys,
        tokenizer=tokenizer,
        label_column=column,
        label_convention=recognise_convention(labels, dataset.episodes),
        description={
            "name": dataset.name,
            "num_frames": dataset.num_frames,
            "train_episodes": [episode.index for episode in train_episodes],
            "val_dataset": config.val_data_dir and str(config.val_data_dir),
            "val_episodes": [episode.index for episode in val_episodes],
        },
    )


def model_image_size(config: TrainConfig) -> int:
    """Side of the model's images, pixels."""
    return config.image_size or lookup(siglip.VARIANTS, config.siglip_variant, "--siglip_variant").image_size


def lookup(variants: dict, name: str, flag: str):
    """The variant called `name`.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    if name not in variants:
        raise ConfigError(f"{flag}: expected one of {', '.join(variants)}, got {name!r}")
    return variants[name]


def _split(config: TrainConfig, dataset: LeRobotDataset) -> tuple[tuple[Episode, ...], tuple[Episode, ...]]:
    """(train, held out) episodes of the training dataset."""
    val: tuple[Episode, ...] = ()
    train = dataset.episodes
    if config.val_episodes is not None:
        val = select_episodes(dataset.episodes, parse_episodes(config.val_episodes, "--val_episodes"), "--val_episodes")
        train = tuple(episode for episode in dataset.episodes if episode not in val)
    elif config.val_interval > 0 and config.val_data_dir is None and config.train_episodes is None:
        train, val = split_episodes(dataset.episodes, config.val_fraction, config.seed)
    if config.train_episodes is not None:
        indices = parse_episodes(config.train_episodes, "--train_episodes")
        train = select_episodes(dataset.episodes, indices, "--train_episodes")
    both = {episode.index for episode in train} & {episode.index for episode in val}
    if both:
        raise ConfigError(f"episodes {sorted(both)[:10]} are in both --train_episodes and --val_episodes")
    if not train:
        raise ConfigError("no episode is left to train on: --val_episodes holds out all of them")
    return train, val if config.val_interval > 0 else ()


def _tokenizer(config: TrainConfig, dataset: LeRobotDataset) -> PromptTokenizer:
    if config.tokenizer_path is None and config.gemma_variant == "gemma3_tiny":
        return PromptTokenizer(train_prompt_tokenizer(dataset.prompts).model, max_token_len=config.max_token_len)
    path = resolve_tokenizer(config.tokenizer_path)
    _log.info(TOKENIZER.format(path=path))
    tokenizer = PromptTokenizer.load(path, max_token_len=config.max_token_len)
    gemma = lookup(gemma3.VARIANTS, config.gemma_variant, "--gemma_variant")
    if tokenizer.vocab_size > gemma.vocab_size:
        raise ConfigError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, but {config.gemma_variant} embeds only "
            f"{gemma.vocab_size}; pass the tokenizer that belongs to the model"
        )
    return tokenizer


def _state_statistics(
    config: TrainConfig, dataset: LeRobotDataset, train_episodes: tuple[Episode, ...]
) -> StateStatistics | None:
    if config.state_encoding == "none":
        return None
    return StateStatistics.measure(config.state_key, read_state(dataset, config.state_key, train_episodes))


def _frame_table(
    config: TrainConfig,
    dataset: LeRobotDataset,
    labels: np.ndarray,
    camera_keys: dict[str, str | None],
    tokenizer: PromptTokenizer,
    statistics: StateStatistics | None,
) -> FrameTable:
    return open_frame_table(
        dataset,
        camera_keys=camera_keys,
        image_size=model_image_size(config),
        image_fit=config.image_fit,
        tokenizer=tokenizer,
        statistics=statistics,
        labels=labels,
        cache_dir=config.cache_dir,
        num_workers=config.num_workers,
        progress=jax.process_index() == 0,
    )


def _check_cameras(dataset: LeRobotDataset, camera_keys: dict[str, str | None]) -> None:
    missing = [key for key in camera_keys.values() if key is not None and key not in dataset.camera_keys]
    if missing:
        raise ConfigError(
            f"--val_data_dir {dataset.root} lacks the cameras {missing} of the training data; "
            f"it has {', '.join(dataset.camera_keys)}"
        )


def _labels_of(labels: np.ndarray, episodes: tuple[Episode, ...]) -> np.ndarray:
    return np.concatenate([labels[episode.start : episode.start + episode.length] for episode in episodes])


def _renumbered(episodes: tuple[Episode, ...]) -> tuple[Episode, ...]:
    """The same episodes as if they were a dataset of their own."""
    starts = np.cumsum([0] + [episode.length for episode in episodes])
    return tuple(dataclasses.replace(episode, start=int(start)) for episode, start in zip(episodes, starts))
