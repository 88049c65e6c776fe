"""Where a frame cache is, the digest of all that decides its pixels, and the lock of whoever builds it."""

import contextlib
import fcntl
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pistar_vf.errors import DatasetError, VideoError
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.video.opening import missing_video

FORMAT_VERSION = 2
"""Part of the digest: raise it when the same sources would give other pixels."""

_logger = logging.getLogger(__name__)


def find_folder(home: Path, dataset: LeRobotDataset, camera_key: str, size: int, fit: str, digest: str) -> Path:
    """The folder with this digest, whatever the name of the dataset it was built from; else a new one."""
    name = re.sub(r"[^\w.-]+", "_", f"{dataset.name}-{camera_key}-{size}{fit}-{digest}")
    return min(home.glob(f"*-{digest}"), default=home / name)


def frame_digest(dataset: LeRobotDataset, camera_key: str, size: int, fit: str) -> str:
    """Changes with whatever decides the frames of a camera: the source files, their times and how they are resized.

    A file that is missing is one of these facts: nobody may want the episodes that are in it.
    """
    sources = []
    for episode in dataset.episodes:
        path, place = _source(dataset, episode, camera_key)
        stat = path.stat() if path.is_file() else None
        facts = (None, None) if stat is None else (stat.st_size, stat.st_mtime_ns)
        sources.append([path.relative_to(dataset.root).as_posix(), *facts, *place])
    lengths = [episode.length for episode in dataset.episodes]
    key = json.dumps([FORMAT_VERSION, camera_key, size, fit, lengths, sources])
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def require_sources(dataset: LeRobotDataset, episodes: Sequence[Episode], camera_key: str) -> None:
    """Refuses to begin with episodes whose pictures are not there.

    Raises:
        VideoError: a file is missing.
    """
    for episode in episodes:
        path, _ = _source(dataset, episode, camera_key)
        if not path.is_file():
            raise VideoError(f"episode {episode.index}, camera {camera_key}: {missing_video(path)}")


def _source(dataset: LeRobotDataset, episode: Episode, camera_key: str) -> tuple[Path, tuple[int | float, ...]]:
    """The file of an episode's pictures, and where they are in it."""
    if dataset.features[camera_key]["dtype"] != "video":
        return episode.parquet, (episode.first_row,) if episode.first_row else ()
    clip = dataset.video_clip(episode, camera_key)
    return clip.path, () if clip.end_seconds is None else (clip.start_seconds, clip.end_seconds)


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """One process at a time; the others wait, and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _logger.warning("another process is decoding these frames (%s); waiting for it", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_disk_space(folder: Path, needed: int) -> None:
    """Refuses what will not fit.

    Args:
        folder: where the frames go.
        needed: bytes.

    Raises:
        DatasetError: says how much is free.
    """
    available = shutil.disk_usage(folder).free
    if needed > available:
        raise DatasetError(
            f"{folder}: decoding needs {needed / 2**30:.2f} GiB, but only {available / 2**30:.2f} GiB are free; "
            "free some space, or put the cache elsewhere with --cache_dir or $PISTAR_VF_CACHE"
        )
