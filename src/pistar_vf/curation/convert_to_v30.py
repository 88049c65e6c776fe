"""LeRobot v2.1 → v3.0: tables and videos joined as LeRobot joins them, metadata turned into tables.

References:
    LeRobot 0.4.4, `convert_dataset_v21_to_v30`: where a new file begins, which columns `meta/episodes` has.
"""

import contextlib
import itertools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.curation.join_videos import join_videos
from pistar_vf.errors import DatasetError
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.dataset_stats import aggregate_stats
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.episode_stats import read_episode_stats
from pistar_vf.lerobot.metadata import read_info
from pistar_vf.lerobot.parquet import open_parquet, read_parquet_table, to_numpy
from pistar_vf.lerobot.schema import conform
from pistar_vf.lerobot.tasks import write_tasks
from pistar_vf.lerobot.typed_values import whole_numbers
from pistar_vf.progress import progress_bar

_MB = 2**20
_EPISODES_AT_ONCE = 256


def write_v30(
    dataset: LeRobotDataset,
    folder: Path,
    *,
    max_data_file_mb: int | float,
    max_video_file_mb: int | float,
    progress: bool,
) -> None:
    """Writes a v2.1 dataset in the v3.0 layout.

    Args:
        dataset: the source.
        folder: an empty folder.
        max_data_file_mb: size that a parquet file of several episodes stays below, MiB uncompressed.
        max_video_file_mb: size that a video file of several episodes stays below, MiB.
        progress: shows progress bars on stderr.

    Raises:
        DatasetError: a file of the source is damaged, its tables differ in their columns, or the metadata of its
            episodes does not fit into columns.
    """
    columns: dict[str, Sequence[Any]] = {"episode_index": [episode.index for episode in dataset.episodes]}
    for key in dataset.video_keys:
        clips = join_videos(dataset, key, folder, max_file_mb=max_video_file_mb, progress=progress)
        columns |= _file_columns(f"videos/{key}", [clip.file_number for clip in clips], dataset.chunks_size)
        columns[f"videos/{key}/from_timestamp"] = [clip.start_seconds for clip in clips]
        columns[f"videos/{key}/to_timestamp"] = [clip.end_seconds for clip in clips]
    numbers = _join_tables(dataset, folder, max_data_file_mb, progress)
    columns |= _file_columns("data", numbers, dataset.chunks_size)
    columns["dataset_from_index"] = [episode.start for episode in dataset.episodes]
    columns["dataset_to_index"] = [episode.start + episode.length for episode in dataset.episodes]
    write_tasks(v30.CODEBASE_VERSION, folder, dataset.tasks)
    _write_episodes(dataset, columns, folder)
    _write_info(dataset, folder, max_data_file_mb, max_video_file_mb)


def _file_columns(kind: str, numbers: Sequence[int], chunks_size: int) -> dict[str, list[int]]:
    return {
        f"{kind}/chunk_index": [number // chunks_size for number in numbers],
        f"{kind}/file_index": [number % chunks_size for number in numbers],
    }


def _join_tables(dataset: LeRobotDataset, folder: Path, max_file_mb: int | float, progress: bool) -> list[int]:
    """Writes the data files; returns the number of each episode's."""
    numbers: list[int] = []
    writer, size_mb, schema = None, 0.0, None
    with contextlib.ExitStack() as open_file:
        for episode in progress_bar(dataset.episodes, desc="joining tables", unit=" episodes", disable=not progress):
            table = read_parquet_table(episode.parquet)
            schema = schema or _schema(dataset, table.schema.metadata)
            _check_index(table, episode)
            table = conform(table, schema, str(episode.parquet))
            episode_mb = _uncompressed_mb(episode.parquet)
            if writer is None or size_mb + episode_mb >= max_file_mb:
                open_file.close()
                number, size_mb = (numbers[-1] + 1 if numbers else 0), 0.0
                path = v30.file_path(v30.DATA_PATH, folder, number, dataset.chunks_size)
                path.parent.mkdir(parents=True, exist_ok=True)
                writer = open_file.enter_context(pq.ParquetWriter(path, schema))
            writer.write_table(table)
            numbers.append(number)
            size_mb += episode_mb
    return numbers


def _uncompressed_mb(path: Path) -> float:
    """What LeRobot's limit of a data file counts."""
    with open_parquet(path) as file:
        return sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)) / _MB


def _schema(dataset: LeRobotDataset, metadata: Mapping[bytes, bytes] | None) -> pa.Schema:
    """Types that hold the values of all files, with the description that the first file carries."""
    for name, files in dataset.schema.lacking.items():
        raise DatasetError(
            f"{files[0]}: expected the column '{name}', which other files have: one file of v3.0 cannot hold both; "
            f"give it a value with `pistar-vf merge {shlex.quote(str(dataset.root))} --fill {name}=<value> "
            "--output_dir <new folder>`"
        )
    return pa.schema([pa.field(name, kind) for name, kind in dataset.schema.types.items()], metadata)


def _check_index(table: pa.Table, episode: Episode) -> None:
    found = None
    if "episode_index" in table.column_names:
        where = f"{episode.parquet}: column 'episode_index'"
        found = np.unique(whole_numbers(to_numpy(table["episode_index"], 0, where), where)).tolist()
    if found != [episode.index]:
        raise DatasetError(
            f"{episode.parquet}: expected episode_index {episode.index} in every row, got {found}; in v3.0 this column "
            "tells whose rows they are: repair it"
        )


def _write_episodes(dataset: LeRobotDataset, columns: Mapping[str, Sequence[Any]], folder: Path) -> None:
    table = pa.table(dict(columns))
    described = dict.fromkeys(key for episode in dataset.episodes for key in episode.metadata)
    for key in described:
        if key not in columns:
            values = [episode.metadata.get(key) for episode in dataset.episodes]
            table = table.append_column(key, _column(values, f"{dataset.root}/{v21.EPISODES_META}: key '{key}'"))
    for name, zeros in _file_columns(v30.EPISODES_META, [0] * len(table), dataset.chunks_size).items():
        table = table.append_column(name, pa.array(zeros, pa.int64()))
    path = v30.file_path(v30.EPISODES_PATH, folder, 0, dataset.chunks_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    stats = dataset.root / v21.STATS_META
    if stats.is_file():
        by_episode, total = _read_stats(stats, columns["episode_index"])
        for name in by_episode.column_names:
            table = table.append_column(name, by_episode[name])
        if total:
            v21.write_json(folder / v30.STATS_PATH, total)
    pq.write_table(table, path)


def _column(values: list[Any], where: str) -> pa.Array:
    try:
        column = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise DatasetError(f"{where}: expected values of one kind, as a v3.0 column needs: {error}") from error
    if not _same(column.to_pylist(), values):
        raise DatasetError(
            f"{where}: expected values of one kind, as a v3.0 column needs, got objects of several kinds"
        )
    return column


def _same(first: Any, second: Any) -> bool:
    """Equality, in which NaN equals NaN."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    return first == second or (first != first and second != second)


def _read_stats(path: Path, order: Sequence[int]) -> tuple[pa.Table, dict[str, Any]]:
    """One row of `stats/...` columns per episode of `order`, and the statistics of all together; perhaps of none."""
    wanted = set(order)
    stats = read_episode_stats(path.parent.parent, v21.CODEBASE_VERSION)
    lines = ((index, own) for index, own in stats if index in wanted and any(own.values()))
    tables, rows = [], []
    total: dict[str, dict[str, Any]] = {}
    while batch := list(itertools.islice(lines, _EPISODES_AT_ONCE)):
        rows += [index for index, _ in batch]
        tables.append(_stats_table([stats for _, stats in batch], path))
        total = aggregate_stats([total, *(stats for _, stats in batch)])
    if not tables:
        return pa.table({}), {}
    position = {index: row for row, index in enumerate(rows)}
    table = pa.concat_tables(tables, promote_options="permissive")
    return table.take(pa.array([position.get(index) for index in order], pa.int64())), total


def _stats_table(episodes: Iterable[Mapping[str, Mapping[str, Any]]], path: Path) -> pa.Table:
    rows = [
        {f"stats/{feature}/{kind}": value for feature, kinds in stats.items() for kind, value in kinds.items()}
        for stats in episodes
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows], f"{path}: {name}") for name in names})


def _write_info(
    dataset: LeRobotDataset, folder: Path, max_data_file_mb: int | float, max_video_file_mb: int | float
) -> None:
    info = read_info(dataset.root)
    for name in ("total_chunks", "total_videos"):
        info.pop(name, None)
    info |= {
        "codebase_version": v30.CODEBASE_VERSION,
        "total_episodes": len(dataset.episodes),
        "total_frames": dataset.num_frames,
        "data_files_size_in_mb": max_data_file_mb,
        "video_files_size_in_mb": max_video_file_mb,
        "data_path": v30.DATA_PATH,
        "video_path": v30.VIDEO_PATH if dataset.video_template is not None else None,
    }
    v21.write_json(folder / "meta" / "info.json", info)
