"""The LeRobot v3.0 layout: many episodes share a parquet file, and per camera a video file.

The rows decide where an episode is. LeRobot itself reads all data files in order and never looks at the
`data/file_index` of `meta/episodes`; its own converter gets that wrong for the first episode of every further file.

References:
    LeRobot 0.4.4, `LeRobotDatasetMetadata` and `convert_dataset_v21_to_v30`.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.episode import Episode, VideoClip, list_episodes
from pistar_vf.lerobot.metadata import fill_template
from pistar_vf.lerobot.parquet import read_column_names, read_parquet_column, read_parquet_table

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
_PLACES = re.compile(r"dataset_(from|to)_index$|(data|videos|meta/episodes)/")


def read_tasks(root: Path) -> dict[int, str]:
    """`task_index` to prompt.

    Raises:
        DatasetError: `meta/tasks.parquet` is missing or damaged.
    """
    path = root / TASKS_PATH
    names = read_column_names(path)
    text = next((name for name in ("task", PANDAS_INDEX) if name in names), None)
    if text is None or "task_index" not in names:
        raise DatasetError(f"{path}: expected the columns task_index and task (or {PANDAS_INDEX}), got {list(names)}")
    (indices,), (texts,) = read_parquet_column(path, "task_index"), read_parquet_column(path, text)
    return {int(index): str(task) for index, task in zip(indices, texts)}


def episode_files(root: Path) -> list[Path]:
    """The files of `meta/episodes`."""
    return sorted((root / EPISODES_META).glob("*/*.parquet"))


def read_episodes(root: Path, info: Mapping[str, Any]) -> tuple[Episode, ...]:
    """The episodes of `meta/episodes`, with the places of their rows and of their pictures.

    Raises:
        DatasetError: the metadata or a file is missing or damaged, or they contradict each other.
    """
    cameras = [key for key, feature in info["features"].items() if feature.get("dtype") == "video"]
    if info["video_path"] is None:
        cameras = []  # reported when pictures are asked for
    table = _read_metadata(root, cameras)
    _check_ranges(root, table)
    rows = _find_rows(root, info["data_path"])
    clips = _video_clips(root, info["video_path"], table, cameras)
    position = {index: i for i, index in enumerate(table["episode_index"].to_pylist())}

    def place(index: int, length: int) -> dict[str, Any]:
        i = position[index]
        if index not in rows:
            chunk, file = table["data/chunk_index"][i].as_py(), table["data/file_index"][i].as_py()
            _refuse_missing(_file_path(info["data_path"], root, chunk, file), index, length)
        path, first_row, num_rows = rows[index]
        if num_rows != length:
            raise DatasetError(
                f"{path}: episode {index}: expected {length} rows ({EPISODES_META}), got {num_rows}; "
                "the file and the metadata are from different versions of the dataset"
            )
        return {"parquet": path, "first_row": first_row, "clips": clips[i]}

    metadata = table.select([name for name in table.column_names if not _PLACES.match(name)]).to_pylist()
    # A key that only some episodes have is null for the others.
    entries = [{key: value for key, value in entry.items() if value is not None} for entry in metadata]
    return list_episodes(entries, root, EPISODES_META, place)


def file_path(template: str, root: Path, number: int, chunks_size: int, video_key: str = "") -> Path:
    """The path of the file with a number, `chunks_size` files to a chunk folder."""
    return _file_path(template, root, *divmod(number, chunks_size), video_key)


def _file_path(template: str, root: Path, chunk: int, file: int, video_key: str = "") -> Path:
    return fill_template(template, root, {"chunk_index": chunk, "file_index": file, "video_key": video_key})


def _read_metadata(root: Path, cameras: Iterable[str]) -> pa.Table:
    """All of `meta/episodes` but the statistics, which are most of it."""
    required = list(_REQUIRED)
    for key in cameras:
        required += [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")]
    tables = []
    for path in episode_files(root):
        names = [name for name in read_column_names(path) if not name.startswith("stats/")]
        if missing := [name for name in required if name not in names]:
            raise DatasetError(f"{path}: expected a column {missing[0]}, got {', '.join(names)}")
        tables.append(read_parquet_table(path, names))
        for name in required:
            if tables[-1][name].null_count:
                row = tables[-1][name].to_pylist().index(None)
                raise DatasetError(
                    f"{path}: column '{name}': expected a value for every episode, got null in row {row}"
                )
    if not tables:
        raise DatasetError(
            f"{root}/{EPISODES_META}: no parquet file; a LeRobot v3.0 dataset has one: download it again"
        )
    return pa.concat_tables(tables, promote_options="permissive")


def _check_ranges(root: Path, table: pa.Table) -> None:
    first, last, length, index = (
        table[name].to_numpy() for name in ("dataset_from_index", "dataset_to_index", "length", "episode_index")
    )
    wrong = np.flatnonzero(last - first != length)
    if wrong.size:
        i = wrong[0]
        raise DatasetError(
            f"{root}/{EPISODES_META}: episode {index[i]}: expected dataset_to_index - dataset_from_index to be its "
            f"length, {length[i]}, got {last[i]} - {first[i]}; the metadata is damaged"
        )


def _video_clips(
    root: Path, template: str | None, table: pa.Table, cameras: Iterable[str]
) -> list[dict[str, VideoClip]]:
    """For every row of the table, feature to place in a video file."""
    file_path = functools.cache(functools.partial(_file_path, template, root))  # one Path for all episodes of a file
    clips: list[dict[str, VideoClip]] = [{} for _ in range(len(table))]
    for key in cameras:
        chunk, file, start, end = (
            table[f"videos/{key}/{name}"].to_pylist()
            for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
        )
        for i, clip in enumerate(clips):
            if not 0 <= start[i] < end[i]:
                raise DatasetError(
                    f"{root}/{EPISODES_META}: episode {table['episode_index'][i]}, camera {key}: expected "
                    f"0 <= from_timestamp < to_timestamp, got {start[i]} and {end[i]}; the metadata is damaged"
                )
            clip[key] = VideoClip(file_path(chunk[i], file[i], key), float(start[i]), float(end[i]))
    return clips


def _find_rows(root: Path, template: str) -> dict[int, tuple[Path, int, int]]:
    """Episode index to its file, first row and number of rows, as the `episode_index` of the rows has it."""
    _file_path(template, root, 0, 0)
    found: dict[int, tuple[Path, int, int]] = {}
    for path in sorted(root.glob(re.sub(r"\{[^}]*\}", "*", template))):
        for column in read_parquet_column(path, "episode_index"):
            firsts = np.flatnonzero(np.append(True, column[1:] != column[:-1])[: len(column)])
            lengths = np.diff(firsts, append=len(column))
            for index, first, length in zip(column[firsts].tolist(), firsts.tolist(), lengths.tolist()):
                if index in found:
                    raise DatasetError(
                        f"{path}: expected the rows of episode {index} in one piece, got some from row {first} on and "
                        f"some in {found[index][0]} from row {found[index][1]} on; a file is left over or damaged"
                    )
                found[index] = (path, first, length)
    return found


def _refuse_missing(path: Path, index: int, length: int) -> None:
    if not path.is_file():
        raise DatasetError(f"{path}: no such file, though episode {index} should be in it; download it again")
    raise DatasetError(
        f"{path}: episode {index}: expected {length} rows ({EPISODES_META}), got 0; "
        "the file and the metadata are from different versions of the dataset"
    )
