"""One episode of a dataset: where its rows and its pictures are, whatever the version of the layout."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.lerobot.typed_values import text, texts, whole_number


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


@dataclasses.dataclass(frozen=True)
class EpisodeChoice:
    """Which episodes of a dataset are opened; the others may be damaged or missing.

    Attributes:
        only: these alone; None for all.
        leave_out: not these.
    """

    only: tuple[int, ...] | None = None
    leave_out: tuple[int, ...] = ()

    def keeps(self, index: int) -> bool:
        """Whether an episode is opened."""
        return (self.only is None or index in self.only) and index not in self.leave_out


ALL_EPISODES = EpisodeChoice()


def check_choice(choice: EpisodeChoice, listed: Iterable[int], there: Iterable[int], root: Path, source: str) -> None:
    """Refuses a choice of episodes that do not exist.

    Args:
        choice: what was asked for.
        listed: the episodes that the metadata lists.
        there: these, and those that only have rows.
        root: the dataset's folder.
        source: where in it the episodes are listed.

    Raises:
        ConfigError: names them.
    """
    unknown = (set(choice.only or ()) - set(listed)) | (set(choice.leave_out) - set(there))
    if unknown:
        numbers = ", ".join(map(str, sorted(unknown)[:10]))
        raise ConfigError(f"{root}: expected episodes that {source} lists, got {numbers}, which it does not")


def typed_entry(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """An episode's entry of the metadata with its number, its length and its prompts in their types.

    Raises:
        DatasetError: one of them is something else; names the key.
    """
    typed = dict(entry)
    typed["episode_index"] = whole_number(entry["episode_index"], where, "episode_index", 0)
    typed["length"] = whole_number(entry["length"], where, "length", 0)
    if "tasks" in entry:
        typed["tasks"] = list(texts(entry["tasks"], where, "tasks"))
    return typed


def typed_tasks(rows: Iterable[tuple[str, Any, Any]]) -> dict[int, str]:
    """`task_index` to prompt.

    Args:
        rows: (where it stands, task_index, prompt).

    Raises:
        DatasetError: a number or a prompt is something else, or one number has two prompts.
    """
    tasks: dict[int, str] = {}
    for where, index, task in rows:
        index, task = whole_number(index, where, "task_index", 0), text(task, where, "task")
        if tasks.setdefault(index, task) != task:
            raise DatasetError(f"{where}: key 'task_index': expected one prompt per number, got a second for {index}")
    return tasks


def unlisted(path: Path, index: int, source: str) -> str:
    """The error about rows whose episode is not in the metadata."""
    return (
        f"{path}: expected rows of episodes that {source} lists, got some of episode {index}, which it does not; "
        f"restore its entry, or leave the episode out (--leave_out {index})"
    )


def list_episodes(
    entries: Iterable[Mapping[str, Any]], root: Path, source: str, place: Callable[[int, int], Mapping[str, Any]]
) -> tuple[Episode, ...]:
    """Puts episodes in order and gives each its `start`.

    Args:
        entries: of `typed_entry`.
        root: the dataset's folder.
        source: where in it the entries are from, for errors.
        place: episode index and length to those fields of `Episode` that say where it is.

    Raises:
        DatasetError: there is no episode, one is listed twice, or one has no frames.
    """
    episodes: list[Episode] = []
    start = 0
    for entry in sorted(entries, key=lambda entry: entry["episode_index"]):
        index, length = entry["episode_index"], entry["length"]
        if episodes and episodes[-1].index == index:
            raise DatasetError(f"{root}/{source}: episode {index} is listed twice; remove one entry")
        if length < 1:
            raise DatasetError(
                f"{root}/{source}: episode {index}: expected length >= 1, got {length}; "
                f"leave it out (--leave_out {index})"
            )
        tasks = tuple(entry.get("tasks", ()))
        episodes.append(Episode(index, length, start, tasks, metadata=entry, **place(index, length)))
        start += length
    if not episodes:
        raise DatasetError(f"{root}: the dataset is empty ({source} lists no episode)")
    return tuple(episodes)
