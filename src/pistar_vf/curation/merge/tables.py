"""The tables and the metadata of the episodes of a merged dataset, in the v2.1 layout."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.curation.merge.plan import MergePlan
from pistar_vf.curation.merge.sources import Source
from pistar_vf.errors import DatasetError
from pistar_vf.lerobot import v21
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.episode_stats import read_episode_stats
from pistar_vf.lerobot.metadata import read_info
from pistar_vf.lerobot.parquet import ColumnFormError, column_of, open_parquet
from pistar_vf.lerobot.rewrite import HUGGINGFACE, described_features
from pistar_vf.lerobot.schema import common_type, conform
from pistar_vf.lerobot.typed_values import whole_numbers
from pistar_vf.progress import progress_bar

SOURCE_KEY = "source"
"""Key of an episode's metadata: the dataset that it came from."""

_RENUMBERED = ("episode_index", "index", "task_index")


def write_tables(plan: MergePlan, folder: Path, progress: bool) -> None:
    """Writes one table an episode, and all of `meta/`; of the videos only what is said about them.

    Args:
        plan: what to write.
        folder: an empty folder.
        progress: shows a progress bar on stderr.

    Raises:
        DatasetError: a file is damaged, a row has no task, or values do not fit the first dataset's types.
    """
    (folder / "meta").mkdir()
    schema = _schema(plan)
    lines, start = [], 0
    total = sum(len(source.dataset.episodes) for source in plan.sources)
    with (
        (folder / v21.STATS_META).open("w", encoding="utf-8") as stats_file,
        progress_bar(total=total, desc="merging tables", unit=" episodes", disable=not progress) as bar,
    ):
        for source in plan.sources:
            rows = _Rows(source, plan, schema)
            stats_of = _stats_reader(source)
            for index, episode, table in source.tables(plan.columns):
                merged = rows.merge(index, episode, table, start)
                path = v21.episode_path(v21.DATA_PATH, folder, index, v21.CHUNK_SIZE)
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(merged, path)
                stats = _stats(plan, source, stats_of(episode.index), path)
                stats_file.write(v21.json_line({"episode_index": index, "stats": stats}))
                lines.append(_metadata(source, index, episode))
                start += episode.length
                bar.update()
    _write_lines(folder / v21.EPISODES_META, lines)
    _write_lines(folder / v21.TASKS_PATH, ({"task_index": i, "task": task} for i, task in enumerate(plan.tasks)))
    _write_info(plan, folder, start)


class _Rows:
    """Turns the rows of one source into those of the result."""

    def __init__(self, source: Source, plan: MergePlan, schema: pa.Schema):
        self._schema = schema
        self._index_tables, self._number = plan.index_tables, plan.sources.index(source)
        self._fills = {name: (value, plan.features[name]["shape"]) for name, value in plan.fills.items()}
        self._tasks = {old: plan.tasks.index(text) for old, text in source.dataset.tasks.items()}

    def merge(self, index: int, episode: Episode, table: pa.Table, start: int) -> pa.Table:
        length = len(table)
        new = {
            "episode_index": np.full(length, index),
            "index": np.arange(start, start + length),
            "task_index": self._task_indices(episode, table),
        }
        for name, merged in self._index_tables.items():
            if name in table.column_names:
                new[name] = merged.renumbered(self._number, table[name], f"{episode.parquet}: episode {episode.index}")
        for field in self._schema:
            if field.name in new:
                column = new[field.name] if isinstance(new[field.name], pa.Array) else pa.array(new[field.name])
            elif field.name in table.column_names:
                continue
            else:
                column = _constant(*self._fills[field.name], length)
            if field.name in table.column_names:
                table = table.drop_columns([field.name])
            table = table.append_column(field.name, column)
        return conform(table, self._schema, str(episode.parquet))

    def _task_indices(self, episode: Episode, table: pa.Table) -> np.ndarray:
        old = whole_numbers(table["task_index"].to_numpy(), f"{episode.parquet}: column 'task_index'")
        present, inverse = np.unique(old, return_inverse=True)
        for task_index in present.tolist():
            if task_index not in self._tasks:
                raise DatasetError(
                    f"{episode.parquet}: episode {episode.index}: expected a task_index of the dataset's task table, "
                    f"{sorted(self._tasks)}, got {task_index}; add the task there"
                )
        return np.array([self._tasks[task_index] for task_index in present.tolist()], np.int64)[inverse]


def _constant(value: np.generic, shape: Sequence[int], length: int) -> pa.Array:
    """A column of one number or string, or of vectors of equal numbers."""
    return v21.arrow_column(np.full((length, *(shape if list(shape) != [1] else ())), value))


def _schema(plan: MergePlan) -> pa.Schema:
    """Every column in a type that holds all datasets' values, with Hugging Face's description where the first has it.

    Raises:
        DatasetError: a dataset has no `task_index`, `index` or `episode_index`.
    """
    types: dict[str, pa.DataType] = {}
    for source in plan.sources:
        types |= {name: common_type(types.get(name, kind), kind) for name, kind in source.types.items()}
        if missing := [name for name in _RENUMBERED if name not in source.columns]:
            raise DatasetError(f"{source.dataset.root}: expected the column '{missing[0]}', which LeRobot writes")
    path = plan.sources[0].dataset.episodes[0].parquet
    with open_parquet(path) as file:
        described = (file.schema_arrow.metadata or {}).get(HUGGINGFACE)
    fields = [pa.field(name, types[name]) for name in plan.columns]
    if described is None:
        return pa.schema(fields)
    first, old = plan.sources[0], described_features(described, path)
    features = {
        name: v21.huggingface_feature(dict(plan.features[name])) for name in plan.columns if name in plan.features
    }
    features |= {first.new_name(name): kind for name, kind in old.items() if first.new_name(name) in plan.columns}
    features = {name: features[name] for name in plan.columns if name in features}  # in the table's order
    if None in features.values():
        return pa.schema(fields)  # a column that the description has no words for: it follows from the types
    return pa.schema(fields, {HUGGINGFACE: json.dumps({"info": {"features": features}}).encode()})


def _metadata(source: Source, index: int, episode: Episode) -> dict[str, Any]:
    """The episode's entry, with its number in the whole and where it came from."""
    older = episode.metadata.get(SOURCE_KEY)
    label = source.label if older is None else f"{source.label}/{older}"
    return {**episode.metadata, "episode_index": index, "tasks": list(episode.tasks), SOURCE_KEY: label}


def _stats_reader(source: Source) -> Callable[[int], Mapping[str, Any]]:
    """Looks up the statistics of episodes, which come in about the order in which they are asked for."""
    stats = read_episode_stats(source.dataset.root, source.dataset.version)
    ahead: dict[int, Mapping[str, Any]] = {}

    def look_up(index: int) -> Mapping[str, Any]:
        for found, kinds in stats if index not in ahead else ():
            ahead[found] = kinds
            if found == index:
                break
        return ahead.pop(index, {})

    return look_up


def _stats(plan: MergePlan, source: Source, old: Mapping[str, Any], path: Path) -> dict[str, Mapping[str, Any]]:
    """Those of the source; of renumbered columns, and of numbers without any, measured in the table at `path`."""
    stats = {source.new_name(name): kinds for name, kinds in old.items()}
    renumbered = {*v21.INDEX_COLUMNS, *plan.index_tables}
    stats = {name: stats[name] for name in plan.features if name in stats and name not in renumbered}
    unmeasured = [
        name
        for name, feature in plan.features.items()
        if name not in stats and name in plan.columns and v21.is_numeric(feature)
    ]
    if not unmeasured:
        return stats
    with open_parquet(path) as file:
        measured = {name: _stats_of(file, path, name) for name in unmeasured}
    return stats | {name: own for name, own in measured.items() if own is not None}


def _stats_of(file: pq.ParquetFile, path: Path, name: str) -> Mapping[str, Any] | None:
    try:
        (values,) = column_of(file, path, name)
    except ColumnFormError:
        return None  # lists of varying length, say: LeRobot has no statistics of these
    # The empty labels of a time-out are not JSON.
    sound = values.dtype.kind in "biuf" and np.isfinite(values).all()
    return v21.column_stats(values) if sound else None


def _write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(v21.json_line(line) for line in lines)


def _write_info(plan: MergePlan, folder: Path, num_frames: int) -> None:
    first, num_episodes = plan.sources[0].dataset, sum(len(source.dataset.episodes) for source in plan.sources)
    info = read_info(first.root)
    for name in ("data_files_size_in_mb", "video_files_size_in_mb"):
        info.pop(name, None)
    info |= {
        "codebase_version": v21.CODEBASE_VERSION,
        "total_episodes": num_episodes,
        "total_frames": num_frames,
        "total_tasks": len(plan.tasks),
        "total_videos": len(plan.video_keys) * num_episodes,
        "total_chunks": (num_episodes - 1) // v21.CHUNK_SIZE + 1,
        "chunks_size": v21.CHUNK_SIZE,
        "splits": {"train": f"0:{num_episodes}"},
        "data_path": v21.DATA_PATH,
        "video_path": v21.VIDEO_PATH if plan.video_keys else None,
        "features": plan.features,
    }
    v21.write_json(folder / "meta" / "info.json", info)
