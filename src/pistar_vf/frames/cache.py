"""Decoded frames on disk: decode once, memory-map forever.

A cache is a folder `frames/<dataset>-<camera>-<size><fit>-<digest>/` that holds `frames.u8` (every frame, in dataset
order), `done.u8` (one byte per episode, set once its frames are on disk) and `meta.json` (for people). The digest
covers what decides the pixels, the source files' sizes and modification times included and, where a file holds many
episodes, their places in it; so a changed source makes a new cache, and a copy of a dataset made with hard links
shares the cache of the original.

Building is safe to interrupt at any moment (only episodes without their byte are decoded the next time) and
safe to start twice (the second process waits for the first).
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import multiprocessing
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8  # not from pistar_vf.typing: decoding needs no JAX
from tqdm_loggable.auto import tqdm

from pistar_vf.errors import ConfigError, DatasetError, VideoError
from pistar_vf.frames.episode_decoder import DecodeJob, run_jobs
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.video.decoding import check_fit

FORMAT_VERSION = 1
"""Part of the digest: raise it when the same sources would give other pixels."""

_logger = logging.getLogger(__name__)


def open_frame_cache(
    dataset: LeRobotDataset,
    camera_key: str,
    *,
    size: int,
    fit: str,
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
    check_fit(fit)
    if camera_key not in dataset.camera_keys:
        raise ConfigError(
            f"'{camera_key}' is not a camera of {dataset.root}; cameras: {', '.join(dataset.camera_keys)}"
        )
    home = _home(cache_dir)
    digest = frame_digest(dataset, camera_key, size, fit)
    cache = _Cache(_find_folder(home, dataset, camera_key, size, fit, digest), dataset, camera_key, size, fit)
    if cache.missing():
        _check_not_a_worker(camera_key)
        with _exclusive_lock(home / f"{digest}.lock"):
            # Looked for again: whoever held the lock may have made it under another dataset's name.
            cache = dataclasses.replace(cache, folder=_find_folder(home, dataset, camera_key, size, fit, digest))
            cache.build(_num_cores() if num_workers is None else num_workers, progress)
    return cache.open()


def find_frame_cache(
    dataset: LeRobotDataset, camera_key: str, *, size: int, fit: str, cache_dir: str | Path | None = None
) -> UInt8[np.memmap, "t {size} {size} 3"] | None:
    """The frames of a camera, if all of them have been decoded already; arguments as of `open_frame_cache`."""
    home = _home(cache_dir)
    folder = _find_folder(home, dataset, camera_key, size, fit, frame_digest(dataset, camera_key, size, fit))
    cache = _Cache(folder, dataset, camera_key, size, fit)
    return None if cache.missing() else cache.open()


@dataclasses.dataclass(frozen=True)
class _Cache:
    """One cache folder; it may not exist yet, or be half built."""

    folder: Path
    dataset: LeRobotDataset
    camera_key: str
    size: int
    fit: str

    @property
    def frames_path(self) -> Path:
        return self.folder / "frames.u8"

    @property
    def done_path(self) -> Path:
        return self.folder / "done.u8"

    @property
    def frame_bytes(self) -> int:
        return self.size * self.size * 3

    def open(self) -> np.memmap:
        """All frames, read-only."""
        shape = (self.dataset.num_frames, self.size, self.size, 3)
        return np.memmap(self.frames_path, np.uint8, mode="r", shape=shape)

    def missing(self) -> list[Episode]:
        """The episodes whose frames are not on disk."""
        episodes = self.dataset.episodes
        expected = self.dataset.num_frames * self.frame_bytes
        if not self.frames_path.is_file() or self.frames_path.stat().st_size != expected:
            return list(episodes)
        done = self.done_path.read_bytes() if self.done_path.is_file() else b""
        return [episode for i, episode in enumerate(episodes) if done[i : i + 1] != b"\x01"]

    def build(self, num_workers: int, progress: bool) -> None:
        """Decodes the missing episodes; the caller holds the lock."""
        missing = self.missing()
        if not missing:
            return  # another process was faster
        num_frames = sum(episode.length for episode in missing)
        _check_disk_space(self.folder.parent, num_frames * self.frame_bytes)
        if len(missing) == len(self.dataset.episodes):
            self._create_files()
        position = {episode.index: i for i, episode in enumerate(self.dataset.episodes)}
        failures: list[DatasetError] = []
        jobs = run_jobs(self._jobs(missing), min(num_workers, len(missing)))
        bar = tqdm(total=num_frames, unit=" frames", desc=f"decoding {self.camera_key}", disable=not progress)
        # Closing `jobs` drops the queued ones when this is interrupted; the interpreter would run them all first.
        with contextlib.closing(jobs), bar, self.done_path.open("r+b", buffering=0) as done:
            for episode, error in jobs:
                if error is not None:
                    failures.append(error)
                    continue
                os.pwrite(done.fileno(), b"\x01", position[episode.index])
                bar.update(episode.length)
        if failures:
            others = f" ({len(failures) - 1} more of {len(missing)} episodes failed)" if len(failures) > 1 else ""
            raise type(failures[0])(f"{failures[0]}{others}") from failures[0]

    def _jobs(self, episodes: list[Episode]) -> list[DecodeJob]:
        # Only its own episode travels to the process that decodes it.
        alone = [dataclasses.replace(self.dataset, episodes=(episode,)) for episode in episodes]
        return [DecodeJob(dataset, self.camera_key, self.size, self.fit, self.frames_path) for dataset in alone]

    def _create_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Before the frames: next to a new file of the right size, old bytes would pass for decoded episodes.
        self.done_path.write_bytes(bytes(len(self.dataset.episodes)))
        with self.frames_path.open("wb") as frames:
            frames.truncate(self.dataset.num_frames * self.frame_bytes)
        meta = {
            "dataset": str(self.dataset.root.absolute()),
            "camera": self.camera_key,
            "shape": [self.dataset.num_frames, self.size, self.size, 3],
            "dtype": "uint8",
            "fit": self.fit,
            "format_version": FORMAT_VERSION,
        }
        (self.folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def _home(cache_dir: str | Path | None) -> Path:
    return Path(cache_dir or os.environ.get("PISTAR_VF_CACHE") or "~/.cache/pistar_vf").expanduser() / "frames"


def _find_folder(home: Path, dataset: LeRobotDataset, camera_key: str, size: int, fit: str, digest: str) -> Path:
    """The folder with this digest, whatever the name of the dataset it was built from; else a new one."""
    name = re.sub(r"[^\w.-]+", "_", f"{dataset.name}-{camera_key}-{size}{fit}-{digest}")
    return min(home.glob(f"*-{digest}"), default=home / name)


def frame_digest(dataset: LeRobotDataset, camera_key: str, size: int, fit: str) -> str:
    """Changes with whatever decides the frames of a camera: the source files, their times and how they are resized.

    Raises:
        VideoError: a file is missing.
    """
    is_video = dataset.features[camera_key]["dtype"] == "video"
    sources = []
    for episode in dataset.episodes:
        if is_video:
            clip = dataset.video_clip(episode, camera_key)
            path, place = clip.path, () if clip.end_seconds is None else (clip.start_seconds, clip.end_seconds)
        else:
            path, place = episode.parquet, (episode.first_row,) if episode.first_row else ()
        if not path.is_file():
            raise VideoError(f"episode {episode.index}, camera {camera_key}: no video at {path}; download it again")
        stat = path.stat()
        sources.append([path.relative_to(dataset.root).as_posix(), stat.st_size, stat.st_mtime_ns, *place])
    lengths = [episode.length for episode in dataset.episodes]
    key = json.dumps([FORMAT_VERSION, camera_key, size, fit, lengths, sources])
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _check_not_a_worker(camera_key: str) -> None:
    """In a script without a main guard, a decoding process would wait for the lock of the one that waits for it."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigError(
            f'decoding {camera_key}: expected the script\'s work below `if __name__ == "__main__":`, got a script that '
            "begins anew in every process that it starts to decode; add that line, or pass num_workers=0"
        )


@contextlib.contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _logger.warning("another process is decoding these frames (%s); waiting for it", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check_disk_space(folder: Path, needed: int) -> None:
    available = shutil.disk_usage(folder).free
    if needed > available:
        raise DatasetError(
            f"{folder}: decoding needs {needed / 2**30:.2f} GiB, but only {available / 2**30:.2f} GiB are free; "
            "free some space, or put the cache elsewhere with --cache_dir or $PISTAR_VF_CACHE"
        )


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
