"""The videos of a merged dataset: linked, joined or cut, never encoded again."""

import contextlib
import dataclasses
import os
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.changes.staging import link_or_copy
from pistar_vf.curation.join_videos import join_videos
from pistar_vf.curation.merge.plan import MergePlan
from pistar_vf.curation.merge.sources import Source
from pistar_vf.curation.split_videos import plan_split, write_split
from pistar_vf.errors import VideoError
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.episode import Episode
from pistar_vf.progress import progress_bar
from pistar_vf.video.remux import read_packet_table


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where the video of an episode is: the number of the file, and seconds since the start of its video."""

    episode: int
    file: int
    start_seconds: float
    end_seconds: float


def add_videos_v21(plan: MergePlan, folder: Path, *, reencode: bool, progress: bool) -> None:
    """One file an episode: those of v2.1 are linked, those of v3.0 are cut out.

    Args:
        plan: what is merged.
        folder: the dataset that is written.
        reencode: encodes anew what can only be encoded anew.
        progress: shows progress bars on stderr.

    Raises:
        VideoError: a video is missing or damaged, does not match its table, or cannot be cut without `reencode`.
    """
    for source in plan.sources:
        for key in plan.video_keys:
            with _naming(source):
                if source.dataset.version == v30.CODEBASE_VERSION:
                    _cut(source, key, folder, reencode, progress)
                else:
                    _link(source, key, folder, progress)


def add_videos_v30(plan: MergePlan, folder: Path, *, scratch: Path, max_file_mb: int | float, progress: bool) -> None:
    """Many episodes a file: files of v3.0 are linked as they are, those of v2.1 are joined.

    Args:
        plan: what is merged.
        folder: the dataset that is written, complete but for the videos.
        scratch: a folder on the same file system.
        max_file_mb: size that a joined file of several episodes stays below, MiB.
        progress: shows progress bars on stderr.

    Raises:
        VideoError: a video is missing or damaged, or does not match its table.
    """
    columns: dict[str, list[Any]] = {}
    for key in plan.video_keys:
        places: list[_Place] = []
        for i, source in enumerate(plan.sources):
            first_file = 1 + max((place.file for place in places), default=-1)
            with _naming(source):
                if source.dataset.version == v30.CODEBASE_VERSION:
                    places += _link_files(source, key, folder, first_file, progress)
                else:
                    places += _join_files(source, key, folder, scratch / str(i), first_file, max_file_mb, progress)
        places.sort(key=lambda place: place.episode)
        columns |= {
            f"videos/{key}/chunk_index": [place.file // v21.CHUNK_SIZE for place in places],
            f"videos/{key}/file_index": [place.file % v21.CHUNK_SIZE for place in places],
            f"videos/{key}/from_timestamp": [place.start_seconds for place in places],
            f"videos/{key}/to_timestamp": [place.end_seconds for place in places],
        }
    _add_columns(folder, columns)


@contextlib.contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Errors speak of episodes by their new numbers; says whose first one has which."""
    try:
        yield
    except VideoError as error:
        raise VideoError(
            f"{source.dataset.root}, whose first episode becomes number {source.first_index}: {error}"
        ) from error


def _cut(source: Source, key: str, folder: Path, reencode: bool, progress: bool) -> None:
    plans = plan_split(source.renumbered(), key, folder, reencode=reencode, progress=progress)
    write_split(plans, fps=source.dataset.fps, desc=f"cutting {key}", progress=progress)


def _link(source: Source, key: str, folder: Path, progress: bool) -> None:
    for path, episodes in _checked_files(source, key, progress):
        for episode in episodes:
            link_or_copy(path, v21.episode_path(v21.VIDEO_PATH, folder, episode.index, v21.CHUNK_SIZE, key))


def _link_files(source: Source, key: str, folder: Path, first_file: int, progress: bool) -> list[_Place]:
    places = []
    for number, (path, episodes) in enumerate(_checked_files(source, key, progress), start=first_file):
        link_or_copy(path, v30.file_path(v30.VIDEO_PATH, folder, number, v21.CHUNK_SIZE, key))
        for episode in episodes:
            clip = episode.clips[key]
            assert clip.end_seconds is not None  # v3.0 says it
            places.append(_Place(episode.index, number, clip.start_seconds, clip.end_seconds))
    return places


def _checked_files(source: Source, key: str, progress: bool) -> Iterator[tuple[Path, list[Episode]]]:
    """Yields the videos of a camera with their episodes, once they have been seen to have all frames."""
    files: dict[Path, list[Episode]] = defaultdict(list)
    for episode in source.renumbered().episodes:
        files[episode.clips[key].path].append(episode)
    for path, episodes in progress_bar(files.items(), f"linking {key}", unit=" files", disable=not progress):
        packets = read_packet_table(path, f"camera {key}")
        for episode in episodes:
            clip = episode.clips[key]
            end = np.inf if clip.end_seconds is None else clip.end_seconds
            count = len(packets.in_clip(clip.start_seconds, end, source.dataset.fps))
            if count != episode.length:
                raise VideoError(
                    f"{path}: camera {key}: expected {episode.length} frames (rows of the parquet file) from "
                    f"{clip.start_seconds:.4f} s on, got {count}; repair or drop that episode "
                    f"(`pistar-vf check {shlex.quote(str(source.dataset.root))}` names it)"
                )
        yield path, episodes


def _join_files(
    source: Source, key: str, folder: Path, scratch: Path, first_file: int, max_file_mb: int | float, progress: bool
) -> list[_Place]:
    dataset = source.renumbered()
    clips = join_videos(dataset, key, scratch, max_file_mb=max_file_mb, progress=progress)
    for number in range(clips[-1].file_number + 1):
        target = v30.file_path(v30.VIDEO_PATH, folder, first_file + number, v21.CHUNK_SIZE, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(v30.file_path(v30.VIDEO_PATH, scratch, number, v21.CHUNK_SIZE, key), target)
    return [
        _Place(episode.index, first_file + clip.file_number, clip.start_seconds, clip.end_seconds)
        for episode, clip in zip(dataset.episodes, clips)
    ]


def _add_columns(folder: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Adds columns to the one table of `meta/episodes`."""
    (path,) = v30.episode_files(folder)
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, path)
