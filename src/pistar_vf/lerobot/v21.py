"""The LeRobot v2.1 layout: reading its metadata, and the pieces that more than one writer needs.

References:
    LeRobot 0.3.3, `LeRobotDataset`: one parquet file and one video per camera and episode, `meta/*.json[l]`.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped  # not from pistar_vf.typing: decoding processes must not import JAX

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.episode import (
    ALL_EPISODES,
    Episode,
    EpisodeChoice,
    check_choice,
    list_episodes,
    typed_entry,
    typed_tasks,
    unlisted,
)
from pistar_vf.lerobot.kept_columns import KeptColumns
from pistar_vf.lerobot.metadata import fill_template, read_jsonl, video_features
from pistar_vf.lerobot.schema import FileSchemas

CODEBASE_VERSION = "v2.1"
CHUNK_SIZE = 1000
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
EPISODES_META = "meta/episodes.jsonl"
TASKS_PATH = "meta/tasks.jsonl"
STATS_META = "meta/episodes_stats.jsonl"
INDEX_COLUMNS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""Columns that every LeRobot table has and that the writer fills in itself."""


def read_tasks(root: Path) -> dict[int, str]:
    """`task_index` to prompt.

    Raises:
        DatasetError: `meta/tasks.jsonl` is missing or damaged.
    """
    lines = read_jsonl(root / TASKS_PATH, ("task_index", "task"))
    return typed_tasks((where, line["task_index"], line["task"]) for where, line in lines)


def read_episodes(
    root: Path, info: Mapping[str, Any], choice: EpisodeChoice = ALL_EPISODES, columns: KeptColumns | None = None
) -> tuple[tuple[Episode, ...], FileSchemas]:
    """The chosen episodes of `meta/episodes.jsonl`, each in a parquet file of its own, and the schemas of the files.

    Args:
        root: the dataset's folder.
        info: `meta/info.json`.
        choice: of episodes.
        columns: keeps those of the files, as they are opened; None keeps none.

    Raises:
        DatasetError: the metadata or a file is missing or damaged, or they contradict each other.
    """
    schemas: FileSchemas = {}
    columns = columns or KeptColumns()

    def place(index: int, length: int) -> dict[str, Path]:
        path = episode_path(info["data_path"], root, index, info["chunks_size"])
        scan = columns.open(path)
        _check_rows(path, index, length, scan.num_rows)
        columns.keep(path, scan, {index: (0, length)})
        schemas[path] = scan.schema
        return {"parquet": path}

    entries = read_entries(root)
    listed = {entry["episode_index"] for entry in entries}
    unlisted_rows = _unlisted_tables(root, info, listed)
    check_choice(choice, listed, {*listed, *unlisted_rows}, root, EPISODES_META)
    kept = [entry for entry in entries if choice.keeps(entry["episode_index"])]
    episodes = list_episodes(kept, root, EPISODES_META, place)
    for index, path in unlisted_rows.items():
        if choice.keeps(index):
            raise DatasetError(unlisted(path, index, f"{root}/{EPISODES_META}"))
    return episodes, schemas


def read_entries(root: Path) -> list[dict[str, Any]]:
    """The lines of `meta/episodes.jsonl`, with their numbers and prompts in the right types.

    Raises:
        DatasetError: the file is missing or damaged, or a value is of the wrong type.
    """
    return [typed_entry(line, where) for where, line in read_jsonl(root / EPISODES_META, ("episode_index", "length"))]


def files_of(root: Path, info: Mapping[str, Any], choice: EpisodeChoice) -> Iterator[list[Path]]:
    """The tables and videos of the chosen episodes, as the metadata alone tell.

    Yields:
        Files, those of the ones before being there.

    Raises:
        DatasetError: the metadata are damaged.
    """
    indices = [e["episode_index"] for e in read_entries(root) if choice.keeps(e["episode_index"])]
    tables = [episode_path(info["data_path"], root, index, info["chunks_size"]) for index in indices]
    yield tables + [
        episode_path(info["video_path"], root, index, info["chunks_size"], key)
        for key in video_features(info)
        for index in indices
    ]


def _unlisted_tables(root: Path, info: Mapping[str, Any], listed: Collection[int]) -> dict[int, Path]:
    """Tables of episodes that the metadata does not speak of."""
    found = {}
    for path in sorted(root.glob(re.sub(r"\{[^}]*\}", "*", info["data_path"]))):
        numbers = re.findall(r"\d+", path.stem)
        index = int(numbers[-1]) if numbers else -1
        if index not in listed and path == episode_path(info["data_path"], root, index, info["chunks_size"]):
            found[index] = path
    return found


def episode_path(template: str, root: Path, episode_index: int, chunks_size: int, video_key: str = "") -> Path:
    """The path that `data_path` or `video_path` of `meta/info.json` means for one episode.

    Raises:
        DatasetError: the template has an unknown placeholder.
    """
    chunk = episode_index // chunks_size
    # v2.1 says episode_chunk, some writers say chunk_index.
    values: dict[str, int | str] = {"episode_chunk": chunk, "chunk_index": chunk, "episode_index": episode_index}
    return fill_template(template, root, {**values, "video_key": video_key})


def _check_rows(path: Path, index: int, length: int, rows: int) -> None:
    if rows != length:
        raise DatasetError(
            f"{path}: episode {index}: expected {length} rows (meta/episodes.jsonl), got {rows}; "
            "the file and the metadata are from different versions of the dataset"
        )


def feature_of(values: Shaped[np.ndarray, "t ..."]) -> dict[str, Any]:
    """The entry of `info.json` that describes a column: dtype, shape of one row, names."""
    dtype = "string" if values.dtype.kind in "OU" else str(values.dtype)
    return {"dtype": dtype, "shape": list(values.shape[1:]) or [1], "names": None}


def is_numeric(feature: Mapping[str, Any]) -> bool:
    """Whether a feature's dtype is one of numbers; "string", "video" and "language" are none."""
    try:
        return np.dtype(feature["dtype"]).kind in "biuf"
    except (TypeError, ValueError):  # numpy has a small language of its own here
        return False


def huggingface_feature(feature: dict[str, Any]) -> dict[str, Any] | None:
    """The same column as Hugging Face `datasets` describes it in the parquet schema; None where it has no words."""
    if feature["dtype"] not in ("image", "string") and not is_numeric(feature):
        return None
    if feature["dtype"] == "image":
        return {"_type": "Image"}
    value = {"dtype": feature["dtype"], "_type": "Value"}
    if list(feature["shape"]) == [1]:
        return value
    return {"feature": value, "length": feature["shape"][0], "_type": "Sequence"}


def arrow_column(values: Shaped[np.ndarray, "t ..."]) -> pa.Array:
    """Scalars as a plain column, vectors as a fixed-size list."""
    if values.dtype.kind in "OU":
        return pa.array(values.tolist(), pa.string())
    if values.ndim == 1 or values.shape[1:] == (1,):
        return pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def column_stats(values: Shaped[np.ndarray, "t ..."]) -> dict[str, Any]:
    """min, max, mean, std and count of one numeric column of one episode, as `episodes_stats.jsonl` keeps them."""
    rows = values.reshape(len(values), -1)
    return {
        "min": rows.min(0).tolist(),
        "max": rows.max(0).tolist(),
        "mean": rows.mean(0, dtype=np.float64).tolist(),
        "std": rows.std(0, dtype=np.float64).tolist(),
        "count": [len(rows)],
    }


def write_json(path: Path, content: Any) -> None:
    """Writes one JSON document, indented as LeRobot does."""
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False), encoding="utf-8")


def json_line(content: Any) -> str:
    """One line of a JSONL file."""
    return json.dumps(content, ensure_ascii=False) + "\n"
