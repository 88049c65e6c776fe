"""Ways in which datasets are damaged, for the layouts v2.1 and v3.0 alike: name to a change of the files of a copy."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CAMERA = "observation.images.front"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


def tables(root: Path) -> list[Path]:
    return sorted(root.glob("data/*/*.parquet"))


def videos(root: Path) -> list[Path]:
    return sorted(root.glob("videos/**/*.mp4"))


def edit_info(root: Path, change: Callable[[dict], object]) -> None:
    path = root / "meta/info.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    change(info)
    path.write_text(json.dumps(info), encoding="utf-8")


def set_rows(root: Path, column: str, change: Callable[[list], list], kind: pa.DataType | None = None) -> None:
    """Changes a column of the first table."""
    path = tables(root)[0]
    table = pq.read_table(path)
    position = table.column_names.index(column)
    rows = change(table[column].to_pylist())
    pq.write_table(table.set_column(position, column, pa.array(rows, kind or table.schema.field(column).type)), path)


def cast(root: Path, column: str, kind: pa.DataType) -> None:
    for path in tables(root):
        table = pq.read_table(path)
        pq.write_table(table.set_column(table.column_names.index(column), column, table[column].cast(kind)), path)


def in_words(root: Path, column: str) -> None:
    for path in tables(root):
        table = pq.read_table(path)
        words = pa.array([str(value) for value in table[column].to_pylist()])
        pq.write_table(table.set_column(table.column_names.index(column), column, words), path)


def drop(root: Path, column: str, first_only: bool = False) -> None:
    for path in tables(root)[: 1 if first_only else None]:
        pq.write_table(pq.read_table(path).drop_columns([column]), path)


def edit_episodes(root: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    """Changes the entries of the episodes; in v3.0 the types of the columns follow the values."""
    lines = root / "meta/episodes.jsonl"
    if lines.is_file():
        entries = change([json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()])
        lines.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
        return
    (path,) = sorted(root.glob("meta/episodes/*/*.parquet"))
    pq.write_table(pa.Table.from_pylist(change(pq.read_table(path).to_pylist())), path)


def edit_tasks(root: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    """Changes the task table, whose keys are `task_index` and `task` here."""
    lines = root / "meta/tasks.jsonl"
    if lines.is_file():
        entries = change([json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()])
        lines.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
        return
    path = root / "meta/tasks.parquet"
    rows = [{"task_index": r["task_index"], "task": r["__index_level_0__"]} for r in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(change(rows)), path)


def each(**values: object) -> Callable[[list[dict]], list[dict]]:
    """Sets keys of every entry."""
    return lambda entries: [{**entry, **values} for entry in entries]


def first(**values: object) -> Callable[[list[dict]], list[dict]]:
    """Sets keys of the first entry."""
    return lambda entries: [{**entries[0], **values}, *entries[1:]]


def _tasks_file(root: Path) -> Path:
    return next(path for path in sorted((root / "meta").glob("tasks.*")))


def _feature(key: str, **values: object) -> Callable[[Path], None]:
    return lambda root: edit_info(root, lambda info: info["features"][key].update(values))


def _info(**values: object) -> Callable[[Path], None]:
    return lambda root: edit_info(root, lambda info: info.update(values))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda root: None,
    # --- meta/info.json
    "info: no file": lambda root: (root / "meta/info.json").unlink(),
    "info: cut short": lambda root: (root / "meta/info.json").write_text('{"fps": 1'),
    "info: a list": lambda root: (root / "meta/info.json").write_text("[]"),
    "info: a pointer": lambda root: (root / "meta/info.json").write_bytes(POINTER),
    "info: utf-16": lambda root: (root / "meta/info.json").write_bytes(
        (root / "meta/info.json").read_text(encoding="utf-8").encode("utf-16")
    ),
    "info: fps null": _info(fps=None),
    "info: fps as text": _info(fps="10"),
    "info: fps zero": _info(fps=0),
    "info: fps in words": _info(fps="ten"),
    "info: fps of another recorder": _info(fps=20),
    "info: version without v": lambda root: edit_info(
        root, lambda info: info.update(codebase_version=info["codebase_version"].removeprefix("v"))
    ),
    "info: version of the future": _info(codebase_version="v9.0"),
    "info: features null": _info(features=None),
    "info: chunks_size null": _info(chunks_size=None),
    "info: total_frames wrong": _info(total_frames=999),
    "info: total_frames null": _info(total_frames=None),
    "info: data_path a number": _info(data_path=7),
    "info: data_path elsewhere": _info(data_path="/data/{episode_index}.parquet"),
    "info: data_path above": _info(data_path="../{episode_index}.parquet"),
    "info: data_path empty": _info(data_path=""),
    "info: a byte-order mark": lambda root: (root / "meta/info.json").write_bytes(
        b"\xef\xbb\xbf" + (root / "meta/info.json").read_bytes()
    ),
    "info: a web page": lambda root: (root / "meta/info.json").write_bytes(b"<!DOCTYPE html><html>404</html>"),
    "info: unknown placeholder": _info(data_path="data/{nobody}.parquet"),
    "info: no video_path": _info(video_path=None),
    "info: wrong video folder": _info(video_path="video/{video_key}/{episode_index}.mp4"),
    "info: lance": _info(storage_format="lance"),
    "camera: shape null": _feature(CAMERA, shape=None),
    "camera: a depth map": _feature(CAMERA, info={"is_depth_map": True}),
    "camera: one channel": _feature(CAMERA, shape=[16, 16, 1]),
    "camera: dtype null": _feature(CAMERA, dtype=None),
    "a feature without a column": lambda root: edit_info(
        root, lambda info: info["features"].update(ghost={"dtype": "int64", "shape": [1]})
    ),
    # --- tasks
    "tasks: no file": lambda root: _tasks_file(root).unlink(),
    "tasks: a pointer": lambda root: _tasks_file(root).write_bytes(POINTER),
    "tasks: null prompt": lambda root: edit_tasks(root, first(task=None)),
    "tasks: number as text": lambda root: edit_tasks(root, each(task_index="0")),
    "tasks: number as float": lambda root: edit_tasks(root, each(task_index=0.0)),
    "tasks: other number": lambda root: edit_tasks(root, each(task_index=4)),
    "tasks: empty prompt": lambda root: edit_tasks(root, each(task=" ")),
    "tasks: a longer prompt": lambda root: edit_tasks(root, each(task="push " * 40)),
    # --- episodes
    "episodes: tasks null": lambda root: edit_episodes(root, each(tasks=None)),
    "episodes: tasks a string": lambda root: edit_episodes(root, each(tasks="push")),
    "episodes: length as float": lambda root: edit_episodes(
        root, lambda entries: [{**entry, "length": float(entry["length"])} for entry in entries]
    ),
    "episodes: length null": lambda root: edit_episodes(root, first(length=None)),
    "episodes: length wrong": lambda root: edit_episodes(root, first(length=9)),
    "episodes: length zero": lambda root: edit_episodes(root, first(length=0)),
    "episodes: index as text": lambda root: edit_episodes(
        root, lambda entries: [{**entry, "episode_index": str(entry["episode_index"])} for entry in entries]
    ),
    "episodes: index negative": lambda root: edit_episodes(root, first(episode_index=-1)),
    "episodes: one not listed": lambda root: edit_episodes(root, lambda entries: entries[:-1]),
    "episodes: one listed twice": lambda root: edit_episodes(root, lambda entries: [*entries, entries[0]]),
    "episodes: none": lambda root: edit_episodes(root, lambda entries: entries[:0]),
    # --- tables
    "table: missing": lambda root: tables(root)[0].unlink(),
    "table: cut short": lambda root: tables(root)[0].write_bytes(tables(root)[0].read_bytes()[:200]),
    "table: a pointer": lambda root: tables(root)[0].write_bytes(POINTER),
    "table: a web page": lambda root: tables(root)[0].write_bytes(b"<!DOCTYPE html><html>404</html>"),
    "table: empty": lambda root: tables(root)[0].write_bytes(b""),
    "table: a row less": lambda root: pq.write_table(pq.read_table(tables(root)[0])[1:], tables(root)[0]),
    "rows: no task_index": lambda root: drop(root, "task_index"),
    "rows: no state": lambda root: drop(root, "observation.state"),
    "rows: no index": lambda root: drop(root, "index"),
    "rows: no index in one file": lambda root: drop(root, "index", first_only=True),
    "rows: no timestamp": lambda root: drop(root, "timestamp"),
    "rows: no frame_index": lambda root: drop(root, "frame_index"),
    "rows: unknown task": lambda root: set_rows(root, "task_index", lambda rows: [*rows[:-1], 3]),
    "rows: null task": lambda root: set_rows(root, "task_index", lambda rows: [None, *rows[1:]]),
    "rows: task as float": lambda root: cast(root, "task_index", pa.float64()),
    "rows: frames from one on": lambda root: set_rows(root, "frame_index", lambda rows: [row + 1 for row in rows]),
    "rows: frames in disorder": lambda root: set_rows(root, "frame_index", lambda rows: [rows[1], rows[0], *rows[2:]]),
    "rows: frames as float": lambda root: cast(root, "frame_index", pa.float32()),
    "rows: null index": lambda root: set_rows(root, "index", lambda rows: [None, *rows[1:]]),
    "rows: null time": lambda root: set_rows(root, "timestamp", lambda rows: [None, *rows[1:]]),
    "rows: null frame": lambda root: set_rows(root, "frame_index", lambda rows: [None, *rows[1:]]),
    "rows: null state": lambda root: set_rows(root, "observation.state", lambda rows: [None, *rows[1:]]),
    "rows: time in microseconds": lambda root: set_rows(root, "timestamp", lambda rows: [1e6 * row for row in rows]),
    "rows: times that run back": lambda root: set_rows(root, "timestamp", lambda rows: [-row for row in rows]),
    "rows: index wrong": lambda root: set_rows(root, "index", lambda rows: [row + 9 for row in rows]),
    "rows: times that drift": lambda root: set_rows(root, "timestamp", lambda rows: [1.3 * row for row in rows]),
    "rows: times that jump": lambda root: set_rows(root, "timestamp", lambda rows: [*rows[:-1], rows[-1] + 3]),
    "rows: times that stand": lambda root: set_rows(root, "timestamp", lambda rows: [0.0] * len(rows)),
    "rows: times of the day": lambda root: set_rows(root, "timestamp", lambda rows: [row + 1000 for row in rows]),
    "rows: jitter": lambda root: set_rows(
        root, "timestamp", lambda rows: [row + 0.01 * (i % 2) for i, row in enumerate(rows)]
    ),
    "rows: time not a number": lambda root: set_rows(root, "timestamp", lambda rows: [float("nan"), *rows[1:]]),
    "rows: state not a number": lambda root: set_rows(
        root, "observation.state", lambda rows: [[float("nan")] * len(rows[0]), *rows[1:]]
    ),
    "rows: state of another size": lambda root: set_rows(
        root, "observation.state", lambda rows: [[*rows[0], 1.0], *rows[1:]], pa.list_(pa.float32())
    ),
    "rows: state in words": lambda root: in_words(root, "observation.state"),
    "rows: a null among the rewards": lambda root: set_rows(root, "reward", lambda rows: [None, *rows[1:]], pa.int64()),
    "rows: no advantage": lambda root: set_rows(root, "adv_ind", lambda rows: [None] * len(rows)),
    "rows: null reward label": lambda root: set_rows(root, "reward_label", lambda rows: [None, *rows[1:]]),
    "rows: reward label not a number": lambda root: set_rows(
        root, "reward_label", lambda rows: [*rows[:-1], float("nan")]
    ),
    "rows: times as whole numbers": lambda root: set_rows(
        root, "timestamp", lambda rows: [int(row) for row in rows], pa.int32()
    ),
    "rows: times in words": lambda root: cast(root, "timestamp", pa.string()),
    "rows: times of the calendar": lambda root: set_rows(
        root, "timestamp", lambda rows: [round(1e6 * row) for row in rows], pa.timestamp("us")
    ),
    "rows: task as decimal": lambda root: cast(root, "task_index", pa.decimal128(25, 3)),
    "rows: task in words": lambda root: cast(root, "task_index", pa.string()),
    "rows: task of the calendar": lambda root: set_rows(root, "task_index", lambda rows: rows, pa.duration("s")),
    "rows: episode of the calendar": lambda root: set_rows(
        root, "episode_index", lambda rows: rows, pa.timestamp("us")
    ),
    "rows: intervention of the calendar": lambda root: set_rows(
        root, "intervention", lambda rows: rows, pa.timestamp("us")
    ),
    "rows: reward not a number": lambda root: set_rows(root, "reward", lambda rows: [float("nan"), *rows[1:]]),
    "rows: value label out of range": lambda root: set_rows(root, "value_label", lambda rows: [-3.0, *rows[1:]]),
    "rows: intervention two": lambda root: set_rows(root, "intervention", lambda rows: [2, *rows[1:]]),
    "rows: intervention bool": lambda root: cast(root, "intervention", pa.bool_()),
    "rows: a nested column": lambda root: [
        pq.write_table(
            pq.read_table(path).append_column("said", pa.array([[{"role": "a"}]] * pq.read_metadata(path).num_rows)),
            path,
        )
        for path in tables(root)
    ],
    # --- videos
    "video: missing": lambda root: videos(root)[0].unlink(),
    "video: cut short": lambda root: videos(root)[0].write_bytes(videos(root)[0].read_bytes()[:300]),
    "video: a pointer": lambda root: videos(root)[0].write_bytes(POINTER),
    "video: a web page": lambda root: videos(root)[0].write_bytes(b"<!DOCTYPE html><html>404</html>"),
    "video: empty": lambda root: videos(root)[0].write_bytes(b""),
    "video: no folder": lambda root: (root / "videos").rename(root / "video"),
}


def ramp(length: int, number: int) -> np.ndarray:
    """A state that tells episodes apart."""
    return np.stack([np.arange(length), np.full(length, number)], 1).astype(np.float32)
