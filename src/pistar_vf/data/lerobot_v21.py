"""The pieces of the LeRobot v2.1 format that more than one writer needs.

References:
    LeRobot 0.3.3, `LeRobotDataset`: one parquet file and one video per camera and episode, `meta/*.json[l]`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pistar_vf.typing import Shaped

CODEBASE_VERSION = "v2.1"
CHUNK_SIZE = 1000
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
INDEX_COLUMNS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""Columns that every LeRobot table has and that the writer fills in itself."""


def feature_of(values: Shaped[np.ndarray, "t ..."]) -> dict[str, Any]:
    """The entry of `info.json` that describes a column: dtype, shape of one row, names."""
    dtype = "string" if values.dtype.kind in "OU" else str(values.dtype)
    return {"dtype": dtype, "shape": list(values.shape[1:]) or [1], "names": None}


def huggingface_feature(feature: dict[str, Any]) -> dict[str, Any] | None:
    """The same column as Hugging Face `datasets` describes it in the parquet schema; None for a video."""
    if feature["dtype"] == "video":
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
