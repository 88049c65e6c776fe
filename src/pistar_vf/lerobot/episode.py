"""One episode of a dataset: where its rows and its pictures are, whatever the version of the layout."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pistar_vf.errors import DatasetError


@dataclasses.dataclass(frozen=True)
class VideoClip:
    """The part of a video file that shows one episode.

    Attributes:
        path: the file.
        start_seconds: time of the episode's first frame, since the start of the video.
        end_seconds: when the next episode may begin; None where the file ends with this one.
    """

    path: Path
    start_seconds: float = 0.0
    end_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode of a dataset.

    Attributes:
        index: the dataset's own `episode_index`; indices may have gaps.
        length: number of frames.
        start: row of the first frame when all episodes are concatenated in order.
        tasks: the prompts that the metadata names.
        parquet: the file that holds its rows.
        metadata: its entry of `meta/episodes`, without statistics and without places in files.
        first_row: row of the first frame inside `parquet`; in v3.0 a file holds many episodes.
        clips: feature to place in a video file, where the metadata says it (v3.0); else empty.
    """

    index: int
    length: int
    start: int
    tasks: tuple[str, ...]
    parquet: Path
    metadata: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)
    first_row: int = 0
    clips: Mapping[str, VideoClip] = dataclasses.field(default_factory=dict, repr=False, compare=False)


def list_episodes(
    entries: Iterable[Mapping[str, Any]], root: Path, source: str, place: Callable[[int, int], Mapping[str, Any]]
) -> tuple[Episode, ...]:
    """Puts episodes in order and gives each its `start`.

    Args:
        entries: `episode_index`, `length`, perhaps `tasks`, and whatever else the metadata holds.
        root: the dataset's folder.
        source: where in it the entries are from, for errors.
        place: episode index and length to those fields of `Episode` that say where it is.

    Raises:
        DatasetError: there is no episode, one is listed twice, or one has no frames.
    """
    episodes: list[Episode] = []
    start = 0
    for entry in sorted(entries, key=lambda entry: entry["episode_index"]):
        index, length = int(entry["episode_index"]), int(entry["length"])
        if episodes and episodes[-1].index == index:
            raise DatasetError(f"{root}/{source}: episode {index} is listed twice; remove one entry")
        if length < 1:
            raise DatasetError(f"{root}/{source}: episode {index}: expected length >= 1, got {length}")
        tasks = tuple(entry.get("tasks", ()))
        episodes.append(Episode(index, length, start, tasks, metadata=entry, **place(index, length)))
        start += length
    if not episodes:
        raise DatasetError(f"{root}: the dataset is empty ({source} lists no episode)")
    return tuple(episodes)
