"""Decoded frames on disk: decode once, memory-map forever.

A cache is a folder `frames/<dataset>-<camera>-<size><fit>-<digest>/` that holds `frames.u8` (every frame, in dataset
order), `done.u8` (one byte per episode, set once its frames are on disk) and `meta.json` (for people). The digest
covers what decides the pixels, the source files' sizes and modification times included and, where a file holds many
episodes, their places in it; so a changed source makes a new cache, and a copy of a dataset made with hard links
shares the cache of the original.

Only the episodes that are asked for are decoded. The file has room for all of them from the start, but holes take no
disk space; so runs on different episodes of a dataset share one cache, and what one has decoded the next one finds.

Building is safe to interrupt at any moment (only episodes without their byte are decoded the next time) and
safe to start twice (the second process waits for the first).
"""

import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8  # not from pistar_vf.typing: decoding needs no JAX

from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.frames.cache_folder import (
    FORMAT_VERSION,
    check_disk_space,
    exclusive_lock,
    find_folder,
    frame_digest,
    require_sources,
)
from pistar_vf.frames.episode_decoder import TIME_COLUMN, DecodeJob, run_jobs
from pistar_vf.frames.settings import cache_root
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.progress import progress_bar
from pistar_vf.video.decoding import check_fit


def open_frame_cache(
    dataset: LeRobotDataset,
    camera_key: str,
    *,
    size: int,
    fit: str,
    episodes: Sequence[Episode] | None = None,
    cache_dir: str | Path | None = None,
    num_workers: int | None = None,
    progress: bool = True,
) -> UInt8[np.memmap, "t {size} {size} 3"]:
    """Opens the cache of one camera, after decoding what is missing from it.

    Args:
        dataset: the dataset.
        camera_key: one of `dataset.camera_keys`.
        size: side of the square frames, pixels.
        fit: "pad" or "stretch", see `pistar_vf.video.decoding.resize_frame`.
        episodes: those whose frames are wanted; None for all. Of others the frames may be there, or black.
        cache_dir: where caches live; None for `$PISTAR_VF_CACHE`, or `~/.cache/pistar_vf`.
        num_workers: decoding processes; None for one per core, 0 to decode in this process. A script that decodes
            in other processes needs the usual `if __name__ == "__main__":`.
        progress: whether to show a progress bar.

    Returns:
        Read-only frames; row `episode.start + t` is frame t of an episode.

    Raises:
        ConfigError: there is no such camera, `fit` is unknown, or the script has no main guard.
        DatasetError: the disk is too full, or an episode cannot be decoded (a VideoError, if its video is at fault);
            all others are decoded nevertheless, and kept.
    """
    cache = FrameCache.find(dataset, camera_key, size=size, fit=fit, cache_dir=cache_dir)
    return cache.open_with(dataset.episodes if episodes is None else episodes, num_workers, progress)


@dataclasses.dataclass(frozen=True)
class FrameCache:
    """The cache folder of one camera; it may not exist yet, or hold some episodes only.

    Attributes:
        home: the folder of all caches.
        digest: of all that decides the pixels.
        dataset: all of its episodes.
        camera_key: one of its cameras.
        size: side of the frames, pixels.
        fit: "pad" or "stretch".
    """

    home: Path
    digest: str
    dataset: LeRobotDataset
    camera_key: str
    size: int
    fit: str

    @classmethod
    def find(
        cls, dataset: LeRobotDataset, camera_key: str, *, size: int, fit: str, cache_dir: str | Path | None = None
    ) -> "FrameCache":
        """The cache of a camera, for arguments as of `open_frame_cache`; nothing is decoded."""
        check_fit(fit)
        if camera_key not in dataset.camera_keys:
            raise ConfigError(
                f"'{camera_key}' is not a camera of {dataset.root}; cameras: {', '.join(dataset.camera_keys)}"
            )
        digest = frame_digest(dataset, camera_key, size, fit)
        return cls(cache_root(cache_dir) / "frames", digest, dataset, camera_key, size, fit)

    def at(self, cache_dir: str | Path) -> "FrameCache":
        """The same frames in another place."""
        return dataclasses.replace(self, home=cache_root(cache_dir) / "frames")

    def open_with(
        self, episodes: Sequence[Episode], num_workers: int | None, progress: bool
    ) -> UInt8[np.memmap, "t {self.size} {self.size} 3"]:
        """All frames, after decoding those of some episodes, see `open_frame_cache`."""
        if missing := self.missing(episodes):
            require_sources(self.dataset, missing, self.camera_key)
            _check_not_a_worker(self.camera_key)
            with exclusive_lock(self.home / f"{self.digest}.lock"):
                self._build(episodes, _num_cores() if num_workers is None else num_workers, progress)
        return self.open()

    def open(self) -> UInt8[np.memmap, "t {self.size} {self.size} 3"]:
        """All frames, read-only; those of `missing` episodes are black."""
        shape = (self.dataset.num_frames, self.size, self.size, 3)
        return np.memmap(self._folder / "frames.u8", np.uint8, mode="r", shape=shape)

    def missing(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Those of the episodes whose frames are not on disk."""
        folder = self._folder
        if not self._has_files(folder):
            return list(episodes)
        done = (folder / "done.u8").read_bytes()
        position = self._position
        return [e for e in episodes if done[position[e.index] : position[e.index] + 1] != b"\x01"]

    @property
    def _folder(self) -> Path:
        """Looked for every time: another process may have made it under another dataset's name."""
        return find_folder(self.home, self.dataset, self.camera_key, self.size, self.fit, self.digest)

    @functools.cached_property
    def _position(self) -> dict[int, int]:
        return {episode.index: i for i, episode in enumerate(self.dataset.episodes)}

    @property
    def _frame_bytes(self) -> int:
        return self.size * self.size * 3

    def _has_files(self, folder: Path) -> bool:
        frames, expected = folder / "frames.u8", self.dataset.num_frames * self._frame_bytes
        return (folder / "done.u8").is_file() and frames.is_file() and frames.stat().st_size == expected

    def _build(self, episodes: Sequence[Episode], num_workers: int, progress: bool) -> None:
        """Decodes what is missing of the episodes; the caller holds the lock."""
        missing = self.missing(episodes)
        if not missing:
            return  # another process was faster
        folder, num_frames = self._folder, sum(episode.length for episode in missing)
        check_disk_space(folder.parent, num_frames * self._frame_bytes)
        if not self._has_files(folder):
            self._create_files(folder)
        failures: list[DatasetError] = []
        jobs = run_jobs(self._jobs(missing, folder / "frames.u8"), min(num_workers, len(missing)))
        bar = progress_bar(total=num_frames, unit=" frames", desc=f"decoding {self.camera_key}", disable=not progress)
        # Closing `jobs` drops the queued ones when this is interrupted; the interpreter would run them all first.
        with contextlib.closing(jobs), bar, (folder / "done.u8").open("r+b", buffering=0) as done:
            for episode, error in jobs:
                if error is not None:
                    failures.append(error)
                    continue
                os.pwrite(done.fileno(), b"\x01", self._position[episode.index])
                bar.update(episode.length)
        if failures:
            others = f" ({len(failures) - 1} more of {len(missing)} episodes failed)" if len(failures) > 1 else ""
            raise type(failures[0])(f"{failures[0]}{others}") from failures[0]

    def _jobs(self, episodes: list[Episode], frames_path: Path) -> list[DecodeJob]:
        # Only its own episode travels to the process that decodes it.
        alone = [dataclasses.replace(self.dataset, episodes=(episode,)) for episode in episodes]
        how = (self.camera_key, self.size, self.fit, frames_path)
        return [DecodeJob(dataset, *how, self._known_times(dataset.episodes[0])) for dataset in alone]

    def _known_times(self, episode: Episode) -> np.ndarray | None:
        """Where the dataset has them in memory, so that its file isn't opened again; what is no time, the decoder
        refuses.
        """
        times = self.dataset.kept.read(episode.parquet, TIME_COLUMN, [(episode.first_row, episode.length)])
        return None if times is None or times[0].dtype.kind != "f" else times[0]

    def _create_files(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Before the frames: next to a new file of the right size, old bytes would pass for decoded episodes.
        (folder / "done.u8").write_bytes(bytes(len(self.dataset.episodes)))
        with (folder / "frames.u8").open("wb") as frames:
            frames.truncate(self.dataset.num_frames * self._frame_bytes)
        meta = {
            "dataset": str(self.dataset.root.absolute()),
            "camera": self.camera_key,
            "shape": [self.dataset.num_frames, self.size, self.size, 3],
            "dtype": "uint8",
            "fit": self.fit,
            "format_version": FORMAT_VERSION,
        }
        (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def _check_not_a_worker(camera_key: str) -> None:
    """In a script without a main guard, a decoding process would wait for the lock of the one that waits for it."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigError(
            f'decoding {camera_key}: expected the script\'s work below `if __name__ == "__main__":`, got a script that '
            "begins anew in every process that it starts to decode; add that line, or pass num_workers=0"
        )


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
