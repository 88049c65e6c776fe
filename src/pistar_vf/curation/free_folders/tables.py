"""Parquet files without metadata: which rows are which episode, what the robot was asked for, which videos it names."""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.parquet import open_parquet, read_parquet_column, read_parquet_table
from pistar_vf.lerobot.schema import FileSchemas, TableSchema, is_list
from pistar_vf.lerobot.typed_values import whole_numbers

EPISODE, FRAME, TIME = "episode_index", "frame_index", "timestamp"
TASKS = ("task", "task_text", "prompt", "instruction", "language_instruction")
"""Columns that may hold the task in words; the first that is there does."""
CAMERAS = ("video_key", "video_keys")
"""Columns that may hold the names of the cameras, a word or a list of words."""
VIDEO_PATH = "video_path"
"""Column with the path of the episode's video, where there is one camera."""


@dataclasses.dataclass(frozen=True)
class FreeEpisode:
    """One episode of the tables.

    Attributes:
        index: of the rows, else of the file's name, else of its place among the files.
        path: its file.
        first_row: in the file.
        length: number of rows.
    """

    index: int
    path: Path
    first_row: int
    length: int


@dataclasses.dataclass(frozen=True)
class FreeTables:
    """The tables of a folder.

    Attributes:
        folder: where they are.
        schema: the columns, the same in every file.
        episodes: by ascending index.
        task_column: where the task is said.
        camera_columns: columns of paths of videos, by the camera: `video_path`, or columns named after cameras that
            hold words or LeRobot's first `{path, timestamp}`.
        named_cameras: cameras that the tables name without a path.
    """

    folder: Path
    schema: pa.Schema
    episodes: tuple[FreeEpisode, ...]
    task_column: str
    camera_columns: dict[str, str]
    named_cameras: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path, paths: Sequence[Path]) -> "FreeTables":
        """Looks into all files.

        Raises:
            DatasetError: a column that is needed is missing, there are no rows, or they are not in the order of their
                frames.
        """
        schema = _common_schema(paths)
        task = next((name for name in TASKS if name in schema.names), None)
        if task is None:
            raise DatasetError(
                f"{paths[0]}: expected a column with the task in words, one of {', '.join(TASKS)}, got "
                f"{', '.join(schema.names)}; write one, or keep the dataset's meta/ folder above the files"
            )
        episodes = sorted(
            (e for i, path in enumerate(paths) for e in _episodes(path, i, schema)), key=lambda e: e.index
        )
        if not episodes:
            raise DatasetError(f"--parquet_dir {folder}: expected a row for every frame, got {len(paths)} empty files")
        _refuse_twice(episodes)
        named = tuple(sorted({camera for path in paths for camera in _cameras(path, schema)}))
        return cls(folder, schema, tuple(episodes), task, _camera_columns(schema, task, named), named)

    def each(self) -> Iterator[tuple[FreeEpisode, pa.Table]]:
        """Every episode with its rows; a file is read once for all episodes that follow one another in it."""
        for path, episodes in itertools.groupby(self.episodes, key=lambda episode: episode.path):
            table = read_parquet_table(path)
            for episode in episodes:
                yield episode, table.slice(episode.first_row, episode.length)


def _common_schema(paths: Sequence[Path]) -> pa.Schema:
    files: FileSchemas = {}
    for path in paths:
        with open_parquet(path) as file:
            files[path] = file.schema_arrow
    union = TableSchema.of_files(files)
    for name in union.lacking:
        raise DatasetError(
            f"column '{name}': expected it in every parquet file, {union.describe_partial(name, len(files))}; write it "
            "everywhere or nowhere"
        )
    return pa.schema(list(union.types.items()))


def _episodes(path: Path, place: int, schema: pa.Schema) -> Iterator[FreeEpisode]:
    where = f"{path}: column '{EPISODE}'"
    if EPISODE in schema.names:
        numbers = whole_numbers(read_parquet_column(path, EPISODE)[0], where)
    else:
        with open_parquet(path) as file:
            digits = re.findall(r"\d+", path.stem)
            numbers = np.full(file.metadata.num_rows, int(digits[-1]) if digits else place)
    frames = None
    if FRAME in schema.names:
        frames = whole_numbers(read_parquet_column(path, FRAME)[0], f"{path}: column '{FRAME}'")
    starts = np.flatnonzero(np.append(True, np.diff(numbers) != 0)[: len(numbers)])
    for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(numbers)]):
        episode = FreeEpisode(int(numbers[first]), path, first, end - first)
        if frames is not None:
            _check_frames(episode, frames[first:end])
        yield episode


def _check_frames(episode: FreeEpisode, frames: np.ndarray) -> None:
    """Rows are frames one after another, whatever the first is called."""
    steps = np.diff(frames)
    if (steps != 1).any():
        row = int(np.argmax(steps != 1)) + 1
        raise DatasetError(
            f"{episode.path}: episode {episode.index}, column '{FRAME}', row {row}: expected {frames[row - 1] + 1} "
            f"after {frames[row - 1]}, got {frames[row]}; write a row for every frame of the video, in their order"
        )


def _refuse_twice(episodes: Sequence[FreeEpisode]) -> None:
    for before, after in itertools.pairwise(episodes):
        if before.index == after.index:
            raise DatasetError(
                f"{after.path}: expected the rows of episode {after.index} in one piece, got more of them in "
                f"{before.path}; number the episodes in a column {EPISODE} or in the names of the files"
            )


def _cameras(path: Path, schema: pa.Schema) -> list[str]:
    column = next((name for name in CAMERAS if name in schema.names), None)
    if column is None:
        return []
    values = read_parquet_table(path, [column])[column].combine_chunks()
    flat = values.flatten() if is_list(values.type) else values
    names = flat.unique().to_pylist()
    if not all(isinstance(name, str) and name for name in names):
        raise DatasetError(f"{path}: column '{column}': expected names of cameras, got {names[:3]}")
    return names


def _camera_columns(schema: pa.Schema, task: str, named: Sequence[str]) -> dict[str, str]:
    """Camera to the column of its videos' paths."""
    if VIDEO_PATH in schema.names:
        return {named[0] if len(named) == 1 else "video": VIDEO_PATH}
    return {field.name: field.name for field in schema if _is_path(field, named) and field.name != task}


def _is_path(field: pa.Field, named: Sequence[str]) -> bool:
    kind = field.type
    if pa.types.is_struct(kind):
        fields = {kind.field(i).name for i in range(kind.num_fields)}
        return fields == {"path", "timestamp"}
    words = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return words and (field.name in named or field.name.startswith("observation.images."))
