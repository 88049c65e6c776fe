"""The LeRobot v3.0 layout: many episodes share a parquet file, and per camera a video file.

The rows decide where an episode is. LeRobot itself reads all data files in order and never looks at the
`data/file_index` of `meta/episodes`; its own converter gets that wrong for the first episode of every further file.

References:
    LeRobot 0.4.4, `LeRobotDatasetMetadata` and `convert_dataset_v21_to_v30`.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.episode import (
    ALL_EPISODES,
    Episode,
    EpisodeChoice,
    VideoClip,
    check_choice,
    list_episodes,
    typed_entry,
    typed_tasks,
    unlisted,
)
from pistar_vf.lerobot.kept_columns import KeptColumns
from pistar_vf.lerobot.metadata import fill_template, video_features
from pistar_vf.lerobot.parquet import read_column_names, read_parquet_table, to_numpy
from pistar_vf.lerobot.schema import FileSchemas
from pistar_vf.lerobot.typed_values import number, whole_number, whole_numbers

CODEBASE_VERSION = "v3.0"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_META = "meta/episodes"
TASKS_PATH = "meta/tasks.parquet"
STATS_PATH = "meta/stats.json"
PANDAS_INDEX = "__index_level_0__"
"""What a nameless pandas index is called: the texts of `meta/tasks.parquet` are one."""

_REQUIRED = (
    *("episode_index", "length", "dataset_from_index", "dataset_to_index"),
    *("data/chunk_index", "data/file_index"),
)
_CLIP_COLUMNS = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
_MIXED_LAYOUTS = "the metadata is of two layouts: correct codebase_version, or restore the files of its own layout"
_PLACES = re.compile(r"dataset_(from|to)_index$|(data|videos|meta/episodes)/")


def read_tasks(root: Path) -> dict[int, str]:
    """`task_index` to prompt.

    Raises:
        DatasetError: `meta/tasks.parquet` is missing or damaged, or a number or a prompt in it is something else.
    """
    path = root / TASKS_PATH
    if not path.is_file() and (root / "meta" / "tasks.jsonl").is_file():
        raise DatasetError(f"{path}: no such file, but meta/tasks.jsonl is there, as in v2.1; {_MIXED_LAYOUTS}")
    names = read_column_names(path)
    column = next((name for name in ("task", PANDAS_INDEX) if name in names), None)
    if column is None or "task_index" not in names:
        raise DatasetError(f"{path}: expected the columns task_index and task (or {PANDAS_INDEX}), got {list(names)}")
    rows = read_parquet_table(path, ["task_index", column]).to_pylist()
    return typed_tasks((f"{path}: row {i}", row["task_index"], row[column]) for i, row in enumerate(rows))


def episode_files(root: Path) -> list[Path]:
    """The files of `meta/episodes`."""
    return sorted((root / EPISODES_META).glob("*/*.parquet"))


def read_episodes(
    root: Path, info: Mapping[str, Any], choice: EpisodeChoice = ALL_EPISODES, columns: KeptColumns | None = None
) -> tuple[tuple[Episode, ...], FileSchemas]:
    """As `v21.read_episodes`, of `meta/episodes`; also where the episodes' rows and pictures are in shared files.

    Raises:
        DatasetError: the metadata or a file is missing or damaged, or they contradict each other.
    """
    _check_templates(root, info)
    cameras = video_features(info)
    entries = read_entries(root, cameras)
    rows, schemas, unreadable = _find_rows(root, info["data_path"], columns or KeptColumns(), choice)
    listed = {entry["episode_index"] for entry in entries}
    check_choice(choice, listed, {*listed, *rows}, root, EPISODES_META)
    file_path = functools.cache(functools.partial(_file_path, info["video_path"] or "", root))
    kept = {entry["episode_index"]: entry for entry in entries if choice.keeps(entry["episode_index"])}

    def place(index: int, length: int) -> dict[str, Any]:
        entry = kept[index]
        _check_range(entry, f"{root}/{EPISODES_META}")
        if index not in rows and unreadable:
            raise unreadable[0]  # the episode may be in it
        if index not in rows:
            place = entry["data/chunk_index"], entry["data/file_index"]
            _refuse_missing(_file_path(info["data_path"], root, *place), index, length)
        path, first_row, num_rows = rows[index]
        if num_rows != length:
            raise DatasetError(
                f"{path}: episode {index}: expected {length} rows ({EPISODES_META}), got {num_rows}; "
                "the file and the metadata are from different versions of the dataset"
            )
        clips = {key: _clip(entry, key, file_path, f"{root}/{EPISODES_META}") for key in cameras}
        return {"parquet": path, "first_row": first_row, "clips": clips}

    # A key that only some episodes have is null for the others.
    own = [
        {key: value for key, value in entry.items() if value is not None and not _PLACES.match(key)}
        for entry in entries
        if choice.keeps(entry["episode_index"])
    ]
    episodes = list_episodes(own, root, EPISODES_META, place)
    for index in rows:
        if index not in listed and choice.keeps(index):
            raise DatasetError(unlisted(rows[index][0], index, f"{root}/{EPISODES_META}"))
    used = {episode.parquet for episode in episodes}
    return episodes, {path: schema for path, schema in schemas.items() if path in used}


def files_of(root: Path, info: Mapping[str, Any], choice: EpisodeChoice) -> Iterator[list[Path]]:
    """As `v21.files_of`; a file that the chosen episodes share with others comes whole.

    Where the metadata name the file before an episode's own, as LeRobot's converter writes them, that one comes next.

    Raises:
        DatasetError: the metadata are damaged.
    """
    cameras = video_features(info)
    entries = [entry for entry in read_entries(root, cameras) if choice.keeps(entry["episode_index"])]
    tables = [(entry["data/chunk_index"], entry["data/file_index"]) for entry in entries]
    videos = {
        _file_path(info["video_path"], root, entry[f"videos/{key}/chunk_index"], entry[f"videos/{key}/file_index"], key)
        for entry in entries
        for key in cameras
    }
    yield sorted({_file_path(info["data_path"], root, *place) for place in tables} | videos)
    found, _, _ = _find_rows(root, info["data_path"], KeptColumns(), choice)
    lacking = {place for entry, place in zip(entries, tables) if entry["episode_index"] not in found}
    yield sorted(_following_table(root, info, *place) for place in lacking)


def _following_table(root: Path, info: Mapping[str, Any], chunk: int, file: int) -> Path:
    chunk, file = (chunk, file + 1) if file + 1 < info["chunks_size"] else (chunk + 1, 0)
    return _file_path(info["data_path"], root, chunk, file)


def file_path(template: str, root: Path, number: int, chunks_size: int, video_key: str = "") -> Path:
    """The path of the file with a number, `chunks_size` files to a chunk folder."""
    return _file_path(template, root, *divmod(number, chunks_size), video_key)


def _file_path(template: str, root: Path, chunk: int, file: int, video_key: str = "") -> Path:
    return fill_template(template, root, {"chunk_index": chunk, "file_index": file, "video_key": video_key})


def read_entries(root: Path, cameras: Iterable[str]) -> list[dict[str, Any]]:
    """All of `meta/episodes` but the statistics, which are most of it; numbers and prompts in the right types.

    Raises:
        DatasetError: there is no file, or one is damaged, lacks a column, or holds a value of another type.
    """
    required = [*_REQUIRED, *(f"videos/{key}/{name}" for key in cameras for name in _CLIP_COLUMNS)]
    entries: list[dict[str, Any]] = []
    files = episode_files(root)
    for path in files:
        names = [name for name in read_column_names(path) if not name.startswith("stats/")]
        if missing := [name for name in required if name not in names]:
            raise DatasetError(f"{path}: expected a column {missing[0]}, got {', '.join(names)}")
        table = read_parquet_table(path, names)
        entries += [_typed(row, required, f"{path}: row {i}") for i, row in enumerate(table.to_pylist())]
    if not files and (root / "meta" / "episodes.jsonl").is_file():
        raise DatasetError(f"{root}/{EPISODES_META}: no file, but meta/episodes.jsonl is there; {_MIXED_LAYOUTS}")
    if not files:
        raise DatasetError(
            f"{root}/{EPISODES_META}: no parquet file; a LeRobot v3.0 dataset has one: download it again"
        )
    return entries


def _typed(row: dict[str, Any], required: Iterable[str], where: str) -> dict[str, Any]:
    typed = typed_entry(row, where)
    for name in required:
        seconds = name.endswith("_timestamp")
        typed[name] = number(row[name], where, name) if seconds else whole_number(row[name], where, name, 0)
    return typed


def _check_templates(root: Path, info: Mapping[str, Any]) -> None:
    """Paths with a place for an episode's number are those of v2.1."""
    for key in ("data_path", "video_path"):
        if "{episode_index" in (info[key] or ""):
            raise DatasetError(
                f"{root}/meta/info.json: key '{key}': expected the placeholders chunk_index and file_index, as "
                f"codebase_version v3.0 has them, got '{info[key]}'; {_MIXED_LAYOUTS}"
            )


def _check_range(entry: Mapping[str, Any], where: str) -> None:
    first, last, length = entry["dataset_from_index"], entry["dataset_to_index"], entry["length"]
    if last - first != length:
        raise DatasetError(
            f"{where}: episode {entry['episode_index']}: expected dataset_to_index - dataset_from_index to be its "
            f"length, {length}, got {last} - {first}; the metadata is damaged"
        )


def _clip(entry: Mapping[str, Any], key: str, file_path: Callable[..., Path], where: str) -> VideoClip:
    """Where in a video file an episode's pictures are."""
    chunk, file, start, end = (entry[f"videos/{key}/{name}"] for name in _CLIP_COLUMNS)
    if not 0 <= start < end:
        raise DatasetError(
            f"{where}: episode {entry['episode_index']}, camera {key}: expected "
            f"0 <= from_timestamp < to_timestamp, got {start} and {end}; the metadata is damaged"
        )
    return VideoClip(file_path(chunk, file, key), float(start), float(end))


def _find_rows(
    root: Path, template: str, columns: KeptColumns, choice: EpisodeChoice
) -> tuple[dict[int, tuple[Path, int, int]], FileSchemas, list[DatasetError]]:
    """Episode index to its file, first row and number of rows, as the `episode_index` of the rows has it.

    Where some episodes are left out, files that cannot be opened may be theirs: the errors are returned.
    """
    _file_path(template, root, 0, 0)
    found: dict[int, tuple[Path, int, int]] = {}
    schemas: FileSchemas = {}
    unreadable: list[DatasetError] = []
    for path in sorted(root.glob(re.sub(r"\{[^}]*\}", "*", template))):
        where = f"{path}: column 'episode_index'"
        try:
            scan = columns.open(path, ("episode_index",))
        except DatasetError as error:
            if choice == ALL_EPISODES:
                raise
            unreadable.append(error)
            continue
        schemas[path] = scan.schema
        if not scan.num_rows:
            continue
        column = whole_numbers(to_numpy(scan.columns["episode_index"], 0, where), where)
        firsts = np.flatnonzero(np.append(True, column[1:] != column[:-1])[: len(column)])
        lengths = np.diff(firsts, append=len(column))
        own: dict[int, tuple[int, int]] = {}
        for index, first, length in zip(column[firsts].tolist(), firsts.tolist(), lengths.tolist()):
            if index in found:
                raise DatasetError(
                    f"{path}: expected the rows of episode {index} in one piece, got some from row {first} on and "
                    f"some in {found[index][0]} from row {found[index][1]} on; a file is left over or damaged"
                )
            found[index], own[index] = (path, first, length), (first, length)
        columns.keep(path, scan, own)
    return found, schemas, unreadable


def _refuse_missing(path: Path, index: int, length: int) -> None:
    if not path.is_file():
        raise DatasetError(f"{path}: no such file, though episode {index} should be in it; download it again")
    raise DatasetError(
        f"{path}: episode {index}: expected {length} rows ({EPISODES_META}), got 0; "
        "the file and the metadata are from different versions of the dataset"
    )
