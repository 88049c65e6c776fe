"""From a dataset to a `FrameTable`: the one way for training, evaluation and relabelling alike."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.frames.cache import FrameCache
from pistar_vf.frames.feature_table import Pictures
from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.lerobot.typed_values import shown
from pistar_vf.tokenizer import PromptTokenizer
from pistar_vf.typing import Float

STATE_COLUMN = "observation.state"
"""Where LeRobot keeps the robot's state."""


class FrameSource:
    """A dataset as a model reads it; only what is asked for is decoded and read.

    Args:
        dataset: all of its episodes.
        camera_keys: model-side camera name to feature; None for a camera that is always masked.
        image_size: side of the model's images, pixels.
        image_fit: "pad" or "stretch".
        tokenizer: of the prompts.
        statistics: which column is the state and how to normalise it; None for a model without state.
        labels: value labels of all frames; None for 0 everywhere.
        cache_dir: of decoded frames, see `open_frame_cache`.
        num_workers: decoding processes.
        progress: whether to show progress.

    Raises:
        PistarError: a camera or a video is missing, or a prompt is too long.
    """

    def __init__(
        self,
        dataset: LeRobotDataset,
        *,
        camera_keys: dict[str, str | None],
        image_size: int,
        image_fit: str,
        tokenizer: PromptTokenizer,
        statistics: StateStatistics | None,
        labels: Float[np.ndarray, " t"] | None = None,
        cache_dir: Path | None = None,
        num_workers: int | None = None,
        progress: bool = True,
    ):
        self.dataset, self._image_size, self._statistics = dataset, image_size, statistics
        self._labels = np.zeros(dataset.num_frames, np.float32) if labels is None else labels
        self._camera_keys, self._num_workers, self._progress = camera_keys, num_workers, progress
        self._caches = {
            key: FrameCache.find(dataset, key, size=image_size, fit=image_fit, cache_dir=cache_dir)
            for key in dict.fromkeys(camera_keys.values())
            if key is not None
        }
        self._tokens, self._token_mask = tokenizer.tokenize_many(dataset.prompts)

    def table(self, episodes: Sequence[Episode] | None = None) -> FrameTable:
        """The frames of some episodes, or of all, in the cache for good.

        Raises:
            PistarError: the state or a video is missing or damaged.
        """
        wanted = self.dataset.episodes if episodes is None else tuple(episodes)
        how = (self._num_workers, self._progress)
        return self._table(wanted, {key: cache.open_with(wanted, *how) for key, cache in self._caches.items()})

    def pictures(self, table: FrameTable, episodes: Sequence[Episode]) -> dict[str, Pictures]:
        """The pictures of a table for a `FeatureTable`, by model-side camera name.

        Args:
            table: from `table`.
            episodes: those that it was opened for.
        """
        return {
            name: Pictures(frames, self.dataset.episodes, tuple(episodes), self._caches[key].digest)
            for name, key in self._camera_keys.items()
            if key is not None and (frames := table.cameras[name]) is not None
        }

    def passing_table(self, episodes: Sequence[Episode]) -> FrameTable:
        """The same without leaving anything behind: what is not in the cache is gone with the table.

        Raises:
            PistarError: the state or a video is missing or damaged.
        """
        frames = {key: self._passing_frames(cache, episodes) for key, cache in self._caches.items()}
        return self._table(tuple(episodes), frames)

    def _passing_frames(self, cache: FrameCache, episodes: Sequence[Episode]) -> np.ndarray:
        if not cache.missing(episodes):
            return cache.open()
        with tempfile.TemporaryDirectory(prefix="pistar_vf_frames_", ignore_cleanup_errors=True) as folder:
            # The mapping outlives the file's name, and the file its mapping: no disk space is left behind.
            # A process for one episode would take longer to start than to decode it.
            return cache.at(folder).open_with(episodes, self._num_workers if len(episodes) > 1 else 0, progress=False)

    def _table(self, episodes: tuple[Episode, ...], frames: dict[str, np.ndarray]) -> FrameTable:
        rows = EpisodeRows(episodes)
        opened = np.zeros(self.dataset.num_frames, bool)
        opened[rows.all()] = True
        return FrameTable(
            cameras={name: None if key is None else frames[key] for name, key in self._camera_keys.items()},
            image_size=self._image_size,
            labels=self._labels,
            prompt_index=self.dataset.prompt_index(),
            tokens=self._tokens,
            token_mask=self._token_mask,
            state=None if self._statistics is None else self._state(self._statistics.key, episodes, rows),
            state_statistics=self._statistics,
            opened=opened,
        )

    def _state(self, key: str, episodes: tuple[Episode, ...], rows: EpisodeRows) -> Float[np.ndarray, "t s"]:
        own = read_state(self.dataset, key, episodes)
        state = np.zeros((self.dataset.num_frames, own.shape[1]), np.float32)
        state[rows.all()] = own
        return state


def read_state(
    dataset: LeRobotDataset, key: str, episodes: tuple[Episode, ...] | None = None
) -> Float[np.ndarray, "t s"]:
    """The robot state of all frames, or of some episodes' frames.

    Raises:
        DatasetError: there is no such column, it holds no numbers, or one of the named episodes is not finite; of all
            frames nobody knows which will be used, and an episode that is left out may be damaged.
    """
    if key not in dataset.columns:
        raise DatasetError(
            f"{dataset.root}: no state column '{key}'; the columns are {', '.join(dataset.columns)}; "
            "pass --state_key, or --state_encoding none to train without state"
        )
    state = dataset.read_column(key, episodes)
    if state.dtype.kind not in "biuf":
        raise DatasetError(
            f"{dataset.root}: state column '{key}': expected numbers, got {state.dtype} such as {shown(state[0])}; "
            "pass another --state_key, or --state_encoding none to train without state"
        )
    state = state.astype(np.float32)
    state = state.reshape(len(state), -1)
    if episodes is not None:
        _refuse_holes(key, state, episodes)
    return state


def _refuse_holes(key: str, state: np.ndarray, episodes: Sequence[Episode]) -> None:
    bad = ~np.isfinite(state)
    if not bad.any():
        return
    row, component = np.argwhere(bad)[0]
    rows = EpisodeRows(episodes)
    episode, frame = rows.episodes[rows.layout.numbers()[row]], rows.layout.frame_index()[row]
    raise DatasetError(
        f"column '{key}' of {episode.parquet}, episode {episode.index}, frame {frame}, "
        f"component {component}: expected a finite number, got {state[row, component]} ({int(bad.any(axis=1).sum())} "
        "such frames); repair or drop that episode"
    )
