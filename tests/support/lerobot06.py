"""Datasets laid out as LeRobot 0.6 writes them: its recorder, `lerobot-eval`, DAgger, `lerobot-annotate`; without it.

`tests/lerobot/test_lerobot06_oracle.py` compares the layout, type by type, with what LeRobot itself writes.
"""

import io
import json
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Kind = Literal["recorder", "eval", "dagger"]

FPS, SIZE = 10, 64
FRONT, WRIST, DEPTH = (f"observation.images.{name}" for name in ("front", "wrist", "front_depth"))
INDICES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
_COLOUR = {"codec": "av1", "pix_fmt": "yuv420p", "channels": 3, "preset": 12, "extra_options": {}}
_DEPTH = {"codec": "hevc", "pix_fmt": "gray12le", "channels": 1, "preset": None}
_DEPTH |= {"extra_options": {"x265-params": "lossless=1"}, "depth_min": 0.01, "depth_max": 10.0}
_DEPTH |= {"shift": 3.5, "use_log": True}


def features_of(kind: Kind) -> dict[str, dict[str, Any]]:
    """As the program describes them to LeRobot; all share a colour camera, a state and an action."""
    video = {"dtype": "video", "shape": (SIZE, SIZE, 3), "names": ["height", "width", "channels"]}
    found: dict[str, dict[str, Any]] = {
        "observation.state": {"dtype": "float32", "shape": (3,), "names": ["a", "b", "c"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["a", "b"]},
        FRONT: video,
    }
    flag = {"dtype": "bool", "shape": (1,), "names": None}
    if kind == "recorder":
        found[WRIST] = video | {"dtype": "image"}
        found[DEPTH] = video | {"shape": (SIZE, SIZE, 1), "info": {"is_depth_map": True}}
        found["subtask_index"] = {"dtype": "int64", "shape": (1,), "names": None}
    elif kind == "eval":
        found["next.reward"] = {"dtype": "float32", "shape": (1,), "names": None}
        found |= {"next.success": flag, "next.done": flag}
    else:
        found["intervention"] = flag
    return found


def frame_of(kind: Kind, number: int, t: int, length: int) -> dict[str, Any]:
    """One frame of episode `number`, as the program hands it to LeRobot."""
    rng = np.random.default_rng(100 * number + t)
    picture = np.full((SIZE, SIZE, 3), 40 * number + 20, np.uint8)
    picture[:, 4 * t : 4 * t + 8] = (250, 240, 30)
    frame: dict[str, Any] = {
        "observation.state": rng.normal(size=3).astype(np.float32) + np.float32(t / length),
        "action": rng.normal(size=2).astype(np.float32),
        FRONT: picture,
        "task": f"task {number % 2}",
    }
    if kind == "recorder":
        frame[WRIST] = picture[::-1].copy()
        frame[DEPTH] = np.full((SIZE, SIZE, 1), 500 + 100 * number + 10 * t, np.uint16)
        frame["subtask_index"] = np.array([int(t >= length // 2)], np.int64)
    elif kind == "eval":
        ended, success = t == length - 1, number % 2 == 0
        frame["next.reward"] = np.float32([ended and success])
        frame["next.success"], frame["next.done"] = np.array([ended and success]), np.array([ended])
    else:  # a window of corrections, then a cut that holds one, in turn
        frame["intervention"] = np.array([number % 2 == 0 or t > length // 2])
    return frame


def language_of(time: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What every row of an episode says, and what the row at `time` says besides."""
    said = {"function": {"arguments": {"text": "sure"}, "name": "say"}, "type": "function"}
    nobody = {"role": "assistant", "content": None, "style": None, "camera": None, "tool_calls": [said]}
    heard = {"role": "user", "content": "no, left", "style": "interjection", "camera": None, "tool_calls": None}
    persistent = {"role": "assistant", "content": "reach", "style": "subtask", "timestamp": 0.0}
    return [persistent | {"camera": None, "tool_calls": None}], [nobody, heard]


def write_subtasks(root: Path, words: tuple[str, ...]) -> None:
    """The table that `subtask_index` speaks of."""
    index = pa.array(range(len(words)), pa.int64())
    pq.write_table(pa.table({"subtask_index": index, "__index_level_0__": list(words)}), root / "meta/subtasks.parquet")


def write_as_lerobot06(root: Path, kind: Kind, lengths: tuple[int, ...], first: int = 0) -> Path:
    """A dataset of that layout; of a recorder, annotated, and its subtasks still to be written."""
    episodes = [[frame_of(kind, n, t, length) for t in range(length)] for n, length in enumerate(lengths, first)]
    features = features_of(kind)
    for folder in ("data/chunk-000", "meta/episodes/chunk-000"):
        (root / folder).mkdir(parents=True)
    tasks = list(dict.fromkeys(frame["task"] for episode in episodes for frame in episode))
    rows = _rows(episodes, tasks, kind)
    _write_rows(root / "data/chunk-000/file-000.parquet", rows, features, kind, lengths)
    for key in (name for name, feature in features.items() if feature["dtype"] == "video"):
        _write_video(root / f"videos/{key}/chunk-000/file-000.mp4", [f[key] for e in episodes for f in e])
    _write_meta(root, rows, features, tasks, lengths, kind)
    return root


def _rows(episodes: list[list[dict[str, Any]]], tasks: list[str], kind: Kind) -> list[dict[str, Any]]:
    rows = []
    for number, episode in enumerate(episodes):
        for t, frame in enumerate(episode):
            row = {name: value for name, value in frame.items() if name != "task"}
            numbers = (np.float32(t / FPS), t, number, len(rows), tasks.index(frame["task"]))
            row |= dict(zip(INDICES, numbers, strict=True))
            if kind == "recorder":
                persistent, events = language_of(t / FPS)
                row |= {"language_persistent": persistent, "language_events": events if t == 1 else []}
            rows.append(row)
    return rows


def _write_rows(
    path: Path, rows: list[dict[str, Any]], features: dict[str, Any], kind: Kind, lengths: tuple[int, ...]
) -> None:
    columns: dict[str, pa.Array] = {}
    for name, feature in features.items():
        if feature["dtype"] == "image":
            cells = [{"bytes": _png(r[name]), "path": f"frame-{r['frame_index']:06d}.png"} for r in rows]
            columns[name] = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
        elif feature["dtype"] != "video":
            columns[name] = _numbers([r[name] for r in rows], feature)
    for name in INDICES:
        columns[name] = pa.array([r[name] for r in rows], pa.float32() if name == "timestamp" else pa.int64())
    if kind == "recorder":
        columns |= {name: pa.array([r[name] for r in rows]) for name in ("language_persistent", "language_events")}
    table = pa.table(columns)
    if kind != "recorder":  # the annotations leave it out
        described = {"info": {"features": {f.name: _as_hugging_face(f.type) for f in table.schema}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(described)})
    with pq.ParquetWriter(path, table.schema) as writer:
        for end, length in zip(np.cumsum(lengths).tolist(), lengths, strict=True):
            writer.write_table(table.slice(end - length, length))


def _numbers(values: list[np.ndarray], feature: dict[str, Any]) -> pa.Array:
    kind = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}[feature["dtype"]]
    if feature["shape"] == (1,):
        return pa.array([value[0].item() for value in values], kind)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(values), kind), feature["shape"][0])


def _as_hugging_face(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _as_hugging_face(kind.value_type), "length": kind.list_size, "_type": "List"}
    return {"dtype": {"float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _write_video(path: Path, frames: list[np.ndarray]) -> None:
    """Colours as AV1; depth as lossless HEVC of twelve bits, on the logarithmic scale of LeRobot's."""
    path.parent.mkdir(parents=True)
    depth = frames[0].shape[-1] == 1
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265" if depth else "libsvtav1", rate=FPS)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "gray12le" if depth else "yuv420p"
        stream.options = {"g": "2", "x265-params": "lossless=1:log-level=none"} if depth else {"g": "2", "crf": "30"}
        for frame in frames:
            if depth:
                low, high = np.log(0.01 + 3.5), np.log(10.0 + 3.5)
                scaled = (np.log(frame[..., 0] / 1000 + 3.5) - low) / (high - low)
                picture = av.VideoFrame.from_ndarray(np.round(4095 * scaled).astype(np.uint16), format="gray12le")
            else:
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _stats(values: np.ndarray) -> dict[str, Any]:
    """Of numbers [t, k], or of pictures [t, h, w, c], which are in [0, 1] and keep three axes."""
    pictures = values.ndim == 4
    axes = (0, 1, 2) if pictures else 0
    scaled = values / 255 if pictures and values.shape[-1] == 3 else values.astype(np.float64)
    found = {"min": scaled.min(axes), "max": scaled.max(axes), "mean": scaled.mean(axes), "std": scaled.std(axes)}
    found |= {name: np.quantile(scaled, share, axis=axes) for name, share in _QUANTILES.items()}
    shaped = {name: value.reshape((-1, 1, 1) if pictures else -1).tolist() for name, value in found.items()}
    return {**shaped, "count": [len(values)]}


def _write_meta(
    root: Path,
    rows: list[dict[str, Any]],
    features: dict[str, Any],
    tasks: list[str],
    lengths: tuple[int, ...],
    kind: Kind,
) -> None:
    stacked = {name: np.stack([np.atleast_1d(r[name]) for r in rows]) for name in (*features, *INDICES)}
    entries, end = [], 0
    for number, length in enumerate(lengths):
        start, end = end, end + length
        entry: dict[str, Any] = {"episode_index": number, "tasks": [tasks[rows[start]["task_index"]]], "length": length}
        entry |= {"data/chunk_index": 0, "data/file_index": 0, "dataset_from_index": start, "dataset_to_index": end}
        for key in (name for name, feature in features.items() if feature["dtype"] == "video"):
            entry |= {f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": 0}
            entry |= {f"videos/{key}/from_timestamp": start / FPS, f"videos/{key}/to_timestamp": end / FPS}
        for name, values in stacked.items():
            entry |= {f"stats/{name}/{stat}": value for stat, value in _stats(values[start:end]).items()}
        entries.append(entry | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
    pq.write_table(pa.Table.from_pylist(entries), root / "meta/episodes/chunk-000/file-000.parquet")
    _write_tasks(root / "meta/tasks.parquet", tasks)
    stats = {name: _stats(values) for name, values in stacked.items()}
    (root / "meta/stats.json").write_text(json.dumps(stats, indent=4))
    (root / "meta/info.json").write_text(
        json.dumps(_info(features, len(rows), len(tasks), len(lengths), kind), indent=4)
    )


def _write_tasks(path: Path, tasks: list[str]) -> None:
    """As pandas writes a frame whose index is called "task"; LeRobot looks prompts up by that index."""
    kinds = {"task_index": ("int64", "int64"), "task": ("unicode", "object")}
    columns = [
        {"name": n, "field_name": n, "pandas_type": kind, "numpy_type": dtype, "metadata": None}
        for n, (kind, dtype) in kinds.items()
    ]
    names = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}
    about = {
        "index_columns": ["task"],
        "columns": columns,
        "column_indexes": [names | {"metadata": {"encoding": "UTF-8"}}],
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": tasks})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(about)}), path)


def _info(features: dict[str, Any], num_frames: int, num_tasks: int, num_episodes: int, kind: Kind) -> dict[str, Any]:
    described = {name: {**feature, "shape": list(feature["shape"])} for name, feature in features.items()}
    for name, feature in described.items():
        if feature["dtype"] == "video":
            of_depth = name == DEPTH
            about = {"height": SIZE, "width": SIZE, "fps": FPS, "g": 2, "crf": 30, "fast_decode": 0}
            about |= {"video_backend": "pyav", **(_DEPTH if of_depth else _COLOUR)}
            feature["info"] = {f"video.{key}": value for key, value in about.items()}
            feature["info"] |= {"has_audio": False, "is_depth_map": of_depth} | (
                {"depth_unit": "mm"} if of_depth else {}
            )
    described["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    described |= {name: {"dtype": "int64", "shape": [1], "names": None} for name in INDICES[1:]}
    if kind == "recorder":
        language = {"dtype": "language", "shape": [1], "names": None}
        described |= {"language_persistent": language, "language_events": language}
    return {
        "codebase_version": "v3.0",
        "fps": FPS,
        "features": described,
        "total_episodes": num_episodes,
        "total_frames": num_frames,
        "total_tasks": num_tasks,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "robot_type": None,
        "splits": {"train": f"0:{num_episodes}"},
    }
