"""Numbers of frames that are computed once, kept on disk and memory-mapped: a folder `features/<digest>/`.

It holds `tokens.bin` (every frame, in dataset order), `done.u8` (one byte per episode, set once its tokens are on
disk) and `meta.json` (for people). Building it can be interrupted: only episodes without their byte are computed the
next time.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pistar_vf.frames.cache_folder import check_disk_space, exclusive_lock
from pistar_vf.lerobot.dataset import Episode
from pistar_vf.progress import progress_bar
from pistar_vf.typing import Shaped

OfEpisode: TypeAlias = Callable[[Episode], Shaped[np.ndarray, "t tokens d"]]
"""Computes an episode's tokens."""


@dataclasses.dataclass(frozen=True)
class FeatureCache:
    """The tokens of one camera's frames.

    Attributes:
        folder: of this cache; it may not exist yet.
        episodes: all episodes of the dataset, which has room for all of them.
        shape: (tokens, d) of one frame.
        dtype: of the numbers: what the tower computes in.
    """

    folder: Path
    episodes: tuple[Episode, ...]
    shape: tuple[int, int]
    dtype: np.dtype

    @property
    def _num_frames(self) -> int:
        return sum(episode.length for episode in self.episodes)

    @property
    def _frame_bytes(self) -> int:
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def open(self) -> Shaped[np.memmap, "n tokens d"]:
        """All frames' tokens, read-only; those of `missing` episodes are 0."""
        return np.memmap(self.folder / "tokens.bin", self.dtype, mode="r", shape=(self._num_frames, *self.shape))

    def missing(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Those of the episodes whose tokens are not on disk."""
        if not self._has_files():
            return list(episodes)
        flags = (self.folder / "done.u8").read_bytes()
        position = {episode.index: i for i, episode in enumerate(self.episodes)}
        return [e for e in episodes if flags[position[e.index] : position[e.index] + 1] != b"\x01"]

    def _has_files(self) -> bool:
        tokens, expected = self.folder / "tokens.bin", self._num_frames * self._frame_bytes
        return (self.folder / "done.u8").is_file() and tokens.is_file() and tokens.stat().st_size == expected

    def create(self) -> None:
        """Makes the empty files, where there are none that fit."""
        if self._has_files():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Before the tokens: next to a new file of the right size, old bytes would pass for computed episodes.
        (self.folder / "done.u8").write_bytes(bytes(len(self.episodes)))
        with (self.folder / "tokens.bin").open("wb") as file:
            file.truncate(self._num_frames * self._frame_bytes)
        facts = {"tokens": list(self.shape), "dtype": str(self.dtype)}
        (self.folder / "meta.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")

    @contextlib.contextmanager
    def writer(self) -> Iterator["FeatureWriter"]:
        """Writes the tokens of whole episodes."""
        with (
            (self.folder / "tokens.bin").open("r+b", buffering=0) as tokens,
            (self.folder / "done.u8").open("r+b", buffering=0) as done,
        ):
            positions = {episode.index: place for place, episode in enumerate(self.episodes)}
            yield FeatureWriter(self, tokens.fileno(), done.fileno(), positions)


@dataclasses.dataclass(frozen=True)
class FeatureWriter:
    """Open files of a cache."""

    cache: FeatureCache
    tokens: int
    done: int
    positions: Mapping[int, int]
    """Index of an episode to its place in the cache."""

    def write(self, episode: Episode, tokens: Shaped[np.ndarray, "t tokens d"]) -> None:
        """Puts an episode's tokens on the disk, and only then says so."""
        data = memoryview(tokens.tobytes())
        offset = episode.start * self.cache._frame_bytes
        while data:
            written = os.pwrite(self.tokens, data, offset)
            data, offset = data[written:], offset + written
        os.fsync(self.tokens)
        os.pwrite(self.done, b"\x01", self.positions[episode.index])


def complete(cache: FeatureCache, used: Sequence[Episode], compute: OfEpisode, progress: bool) -> None:
    """Computes what is missing; among processes one does.

    Args:
        cache: where it is kept.
        used: the episodes that are wanted.
        compute: tokens of an episode.
        progress: whether to show a progress bar.

    Raises:
        DatasetError: the disk is too full.
    """
    if cache.missing(used):
        with exclusive_lock(cache.folder.with_suffix(".lock")):
            _build(cache, used, compute, progress)


def _build(cache: FeatureCache, used: Sequence[Episode], compute: OfEpisode, progress: bool) -> None:
    """Computes what is missing; the caller holds the lock."""
    missing = cache.missing(used)
    if not missing:
        return  # another process was faster
    num_frames = sum(episode.length for episode in missing)
    cache.folder.parent.mkdir(parents=True, exist_ok=True)
    check_disk_space(cache.folder.parent, num_frames * cache._frame_bytes)
    cache.create()
    bar = progress_bar(total=num_frames, unit=" frames", desc="features", disable=not progress)
    with bar, cache.writer() as writer:
        for episode in missing:
            writer.write(episode, compute(episode).astype(cache.dtype))
            bar.update(episode.length)
