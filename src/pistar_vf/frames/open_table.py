"""Builds a `FrameTable` from a dataset: the one way for training, evaluation and relabelling alike."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.frames.cache import open_frame_cache
from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.tokenizer import PromptTokenizer
from pistar_vf.typing import Float

STATE_COLUMN = "observation.state"
"""Where LeRobot keeps the robot's state."""


def open_frame_table(
    dataset: LeRobotDataset,
    *,
    camera_keys: dict[str, str | None],
    image_size: int,
    image_fit: str,
    tokenizer: PromptTokenizer,
    statistics: StateStatistics | None,
    labels: Float[np.ndarray, " t"],
    cache_dir: Path | None = None,
    num_workers: int | None = None,
    progress: bool = True,
) -> FrameTable:
    """Decodes what is not cached yet and reads the columns a model needs.

    Args:
        dataset: all of its episodes.
        camera_keys: model-side camera name to feature; None for a camera that is always masked.
        image_size: side of the model's images, pixels.
        image_fit: "pad" or "stretch".
        tokenizer: of the prompts.
        statistics: which column is the state and how to normalise it; None for a model without state.
        labels: value labels of all frames.
        cache_dir: of decoded frames, see `open_frame_cache`.
        num_workers: decoding processes.
        progress: whether to show progress.

    Raises:
        PistarError: a camera, the state or a video is missing or damaged, or a prompt is too long.
    """
    cameras = {
        name: None
        if key is None
        else open_frame_cache(
            dataset,
            key,
            size=image_size,
            fit=image_fit,
            cache_dir=cache_dir,
            num_workers=num_workers,
            progress=progress,
        )
        for name, key in camera_keys.items()
    }
    tokens, mask = tokenizer.tokenize_many(dataset.prompts)
    return FrameTable(
        cameras=cameras,
        image_size=image_size,
        labels=labels,
        prompt_index=dataset.prompt_index(),
        tokens=tokens,
        token_mask=mask,
        state=None if statistics is None else read_state(dataset, statistics.key),
        state_statistics=statistics,
    )


def read_state(
    dataset: LeRobotDataset, key: str, episodes: tuple[Episode, ...] | None = None
) -> Float[np.ndarray, "t s"]:
    """The robot state of all frames, or of some episodes' frames.

    Raises:
        DatasetError: there is no such column, or a number of the named episodes is not finite; of all frames nobody
            knows which will be used, and an episode that is left out may be damaged.
    """
    if key not in dataset.columns:
        raise DatasetError(
            f"{dataset.root}: no state column '{key}'; the columns are {', '.join(dataset.columns)}; "
            "pass --state_key, or --state_encoding none to train without state"
        )
    state = np.asarray(dataset.read_column(key, episodes), np.float32)
    state = state.reshape(len(state), -1)
    if episodes is not None:
        _refuse_holes(key, state, episodes)
    return state


def _refuse_holes(key: str, state: np.ndarray, episodes: Sequence[Episode]) -> None:
    bad = ~np.isfinite(state)
    if not bad.any():
        return
    row, component = np.argwhere(bad)[0]
    ends = np.cumsum([episode.length for episode in episodes])
    position = int(np.searchsorted(ends, row, side="right"))
    episode = episodes[position]
    raise DatasetError(
        f"column '{key}' of {episode.parquet}, episode {episode.index}, frame {row - ends[position] + episode.length}, "
        f"component {component}: expected a finite number, got {state[row, component]} ({int(bad.any(axis=1).sum())} "
        "such frames); repair or drop that episode"
    )
