"""Tokens of a vision tower that is not trained: computed once per frame, kept on disk, memory-mapped.

A cache is a folder `features/<digest>/` with `tokens.bin` (every frame, in dataset order), `done.u8` (one byte per
episode, set once its tokens are on disk) and `meta.json` (for people). The digest covers the tower's weights, its
precision, and the digest of the decoded frames, so that other weights or other pixels make a new cache. Building it can
be interrupted: only episodes without their byte are computed the next time.

One frame of SigLIP So400m/14 at 224 px is 256 × 1152 numbers: 0.56 MiB in bfloat16, 1.1 MiB in float32.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from pistar_vf.frames.cache_folder import check_disk_space, exclusive_lock
from pistar_vf.frames.feature_table import Pictures
from pistar_vf.frames.settings import cache_root
from pistar_vf.lerobot.dataset import Episode
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import leaves_digest, unflatten
from pistar_vf.progress import progress_bar
from pistar_vf.typing import Params, Shaped

TOWER = "img/"
"""Where the tower's leaves are in a flat tree."""


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
            yield FeatureWriter(self, tokens.fileno(), done.fileno())


@dataclasses.dataclass(frozen=True)
class FeatureWriter:
    """Open files of a cache."""

    cache: FeatureCache
    tokens: int
    done: int

    def write(self, episode: Episode, tokens: Shaped[np.ndarray, "t tokens d"]) -> None:
        """Puts an episode's tokens on the disk, and only then says so."""
        data = memoryview(tokens.tobytes())
        offset = episode.start * self.cache._frame_bytes
        while data:
            written = os.pwrite(self.tokens, data, offset)
            data, offset = data[written:], offset + written
        os.fsync(self.tokens)
        position = next(i for i, own in enumerate(self.cache.episodes) if own.index == episode.index)
        os.pwrite(self.done, b"\x01", position)


def tower_digest(flat: Params, dtype: str) -> str:
    """Changes with the tower's weights and with the precision that it computes in."""
    tower = {name: leaf for name, leaf in flat.items() if name.startswith(TOWER)}
    return leaves_digest(tower, also=dtype)[:12]


def open_features(
    value_function: ValueFunction,
    flat: Params,
    pictures: Pictures,
    *,
    tower: str,
    batch_size: int,
    cache_dir: Path | None = None,
    progress: bool = True,
) -> Shaped[np.memmap, "n tokens d"]:
    """The tokens of one camera's frames, after computing what is missing of them.

    Args:
        value_function: the model.
        flat: its parameters; those of the tower are read.
        pictures: of the camera.
        tower: its digest, see `tower_digest`; of gigabytes, so whoever has several cameras computes it once.
        batch_size: frames that pass the tower at once.
        cache_dir: where caches live; None for `$PISTAR_VF_CACHE`, or `~/.cache/pistar_vf`.
        progress: whether to show a progress bar.

    Returns:
        Tokens of all frames; those of episodes that nobody asked for are 0.

    Raises:
        DatasetError: the disk is too full.
    """
    config = value_function.config
    digest = hashlib.sha256(f"{pictures.digest} {tower}".encode()).hexdigest()[:12]
    home = cache_root(cache_dir) / "features"
    dtype = np.dtype(jax.numpy.dtype(config.dtype))  # JAX's bfloat16 is a dtype of NumPy's, too
    cache = FeatureCache(home / digest, pictures.episodes, (config.siglip.num_tokens, config.siglip.width), dtype)
    if cache.missing(pictures.used):
        with exclusive_lock(home / f"{digest}.lock"):
            _build(cache, value_function, flat, pictures, batch_size, progress)
    return cache.open()


def _build(
    cache: FeatureCache,
    value_function: ValueFunction,
    flat: Params,
    pictures: Pictures,
    batch_size: int,
    progress: bool,
) -> None:
    """Computes what is missing; the caller holds the lock."""
    missing = cache.missing(pictures.used)
    if not missing:
        return  # another process was faster
    num_frames = sum(episode.length for episode in missing)
    cache.folder.parent.mkdir(parents=True, exist_ok=True)
    check_disk_space(cache.folder.parent, num_frames * cache._frame_bytes)
    cache.create()
    encode = jax.jit(value_function.encode_images)
    tower = unflatten({name.removeprefix(TOWER): leaf for name, leaf in flat.items() if name.startswith(TOWER)})
    bar = progress_bar(total=num_frames, unit=" frames", desc="image features", disable=not progress)
    with bar, cache.writer() as writer:
        for episode in missing:
            own = pictures.frames[episode.start : episode.start + episode.length]
            parts = []
            for start in range(0, episode.length, batch_size):
                part = np.asarray(own[start : start + batch_size])
                padded = np.concatenate([part, np.repeat(part[-1:], batch_size - len(part), axis=0)])
                parts.append(np.asarray(encode(tower, padded))[: len(part)].astype(cache.dtype))
            writer.write(episode, np.concatenate(parts))
            bar.update(episode.length)
