"""Tables without metadata as a dataset of LeRobot v2.1: index columns, metadata, links to the videos."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pistar_vf.curation.free_folders.tables import CAMERAS, TIME, VIDEO_PATH, FreeEpisode, FreeTables
from pistar_vf.curation.free_folders.videos import cameras_below, find_video, named_video
from pistar_vf.errors import DatasetError
from pistar_vf.lerobot import v21
from pistar_vf.lerobot.parquet import to_numpy
from pistar_vf.lerobot.schema import is_list
from pistar_vf.typing import Float
from pistar_vf.video.opening import open_video

_DTYPES = {"halffloat": "float16", "float": "float32", "double": "float64"}
"""Arrow's words that are not NumPy's."""
_INDEX = {name: "float32" if name == TIME else "int64" for name in v21.INDEX_COLUMNS}


def write_dataset(tables: FreeTables, video_root: Path | None, copy: Path) -> None:
    """Writes the dataset.

    Args:
        tables: the rows.
        video_root: where the videos are; None where the tables name them by full paths, or hold the pictures.
        copy: the folder, empty.

    Raises:
        DatasetError: videos and tables do not belong together, or nobody knows how long a frame is.
        VideoError: a video cannot be opened.
    """
    writer = _Writer(tables, _Cameras.of(tables, video_root), copy)
    for episode, rows in tables.each():
        writer.add(episode, rows)
    writer.finish()


@dataclasses.dataclass(frozen=True)
class _Cameras:
    """The cameras that are videos, and how each episode's is found."""

    names: tuple[str, ...]
    columns: dict[str, str]
    video_root: Path | None

    @classmethod
    def of(cls, tables: FreeTables, video_root: Path | None) -> "_Cameras":
        if tables.camera_columns:
            return cls(tuple(tables.camera_columns), tables.camera_columns, video_root)
        found = [] if video_root is None else cameras_below(video_root)
        names = tables.named_cameras or tuple(found)
        if names and video_root is None:
            raise DatasetError(
                f"--video_root: expected it, as the tables name the cameras {', '.join(names)} without paths"
            )
        if not names and not any(pa.types.is_struct(field.type) for field in tables.schema):
            raise DatasetError(
                f"--video_root {video_root}: expected videos chunk-000/<camera>/episode_000000.mp4 in it, or a column "
                f"{CAMERAS[0]} or {VIDEO_PATH} in {tables.folder}, found none; name the folder of the videos"
            )
        return cls(names, {}, video_root)

    def video(self, episode: FreeEpisode, rows: pa.Table, camera: str) -> Path:
        """The one video of a camera of an episode."""
        where = f"{episode.path}: episode {episode.index}"
        if camera in self.columns:
            column = self.columns[camera]
            named = {row["path"] if isinstance(row, dict) else row for row in rows[column].to_pylist()}
            if len(named) != 1 or not isinstance(name := named.pop(), str):
                raise DatasetError(f"{where}, column '{column}': expected one video for the whole episode, got several")
            return named_video(self.video_root, name, f"{where}, column '{column}'")
        relative = f"videos/{_chunk(episode)}/{camera}/episode_{episode.index:06d}.mp4"
        assert self.video_root is not None
        found = find_video(self.video_root, relative, camera, only_camera=len(self.names) == 1)
        if found is None:
            raise DatasetError(
                f"{where}, camera {camera}: expected {relative} in --video_root {self.video_root}, or an end of that "
                "path, found none; name the folder of the videos, or write a column video_path"
            )
        return found


def _chunk(episode: FreeEpisode) -> str:
    named = episode.path.parent.name
    return named if named.startswith("chunk-") else f"chunk-{episode.index // v21.CHUNK_SIZE:03d}"


class _Writer:
    """Holds what grows while episodes pass."""

    def __init__(self, tables: FreeTables, cameras: _Cameras, copy: Path):
        self.tables, self.cameras, self.copy = tables, cameras, copy
        self.tasks: dict[str, int] = {}
        self.users: dict[Path, int] = {}
        self.features: dict[str, Any] = {}
        self.lines: list[str] = []
        self.fps = 0.0
        self.num_frames = 0
        (copy / "meta").mkdir()

    def add(self, episode: FreeEpisode, rows: pa.Table) -> None:
        videos = {camera: self.cameras.video(episode, rows, camera) for camera in self.cameras.names}
        self._refuse_shared(episode, videos)
        if not self.features:
            self.fps = _fps(episode, _times(episode, rows), videos)
            self.features = self._features(rows, videos)
        texts = _texts(episode, rows, self.tables.task_column)
        path = v21.episode_path(v21.DATA_PATH, self.copy, episode.index, v21.CHUNK_SIZE)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(self._with_indices(episode, rows, texts), path)
        for camera, video in videos.items():
            link = v21.episode_path(v21.VIDEO_PATH, self.copy, episode.index, v21.CHUNK_SIZE, camera)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(video)
        entry = {"episode_index": episode.index, "tasks": list(dict.fromkeys(texts)), "length": episode.length}
        self.lines.append(v21.json_line(entry))
        self.num_frames += episode.length

    def finish(self) -> None:
        count, meta = len(self.tables.episodes), self.copy / "meta"
        info = {
            "codebase_version": v21.CODEBASE_VERSION,
            "robot_type": None,
            "total_episodes": count,
            "total_frames": self.num_frames,
            "total_tasks": len(self.tasks),
            "chunks_size": v21.CHUNK_SIZE,
            "fps": self.fps,
            "splits": {"train": f"0:{count}"},
            "data_path": v21.DATA_PATH,
            "video_path": v21.VIDEO_PATH if self.cameras.names else None,
            "features": self.features,
        }
        v21.write_json(meta / "info.json", info)
        tasks = [v21.json_line({"task_index": number, "task": text}) for text, number in self.tasks.items()]
        (self.copy / v21.TASKS_PATH).write_text("".join(tasks), encoding="utf-8")
        (self.copy / v21.EPISODES_META).write_text("".join(self.lines), encoding="utf-8")

    def _with_indices(self, episode: FreeEpisode, rows: pa.Table, texts: Sequence[str]) -> pa.Table:
        frames = np.arange(episode.length)
        columns = {name: rows[name] for name in rows.column_names if name in self.features and name not in _INDEX}
        times = _times(episode, rows)
        numbers = {
            "timestamp": (frames / self.fps if times is None else times).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full_like(frames, episode.index),
            "index": frames + self.num_frames,
            "task_index": np.array([self.tasks.setdefault(text, len(self.tasks)) for text in texts]),
        }
        return pa.table({**columns, **numbers})

    def _features(self, rows: pa.Table, videos: dict[str, Path]) -> dict[str, Any]:
        features = {}
        for camera, path in videos.items():
            with open_video(path, f"camera {camera}", "cannot be read") as (_, stream):
                shape = [stream.codec_context.height, stream.codec_context.width, 3]
            features[camera] = {"dtype": "video", "shape": shape, "names": ["height", "width", "channels"]}
        for name in rows.column_names:
            if name not in _INDEX and name not in self.cameras.columns.values() and name not in CAMERAS:
                features[name] = _feature(rows[name])
        return features | {name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in _INDEX.items()}

    def _refuse_shared(self, episode: FreeEpisode, videos: dict[str, Path]) -> None:
        for path in videos.values():
            other = self.users.setdefault(path, episode.index)
            if other != episode.index:
                raise DatasetError(
                    f"{path}: expected one video for each episode, got one for episodes {other} and {episode.index}; "
                    "LeRobot v3.0 joins them, and needs its meta/ folder above the tables"
                )


def _texts(episode: FreeEpisode, rows: pa.Table, column: str) -> list[str]:
    texts = rows[column].to_pylist()
    if bad := [text for text in texts if not isinstance(text, str)]:
        where = f"{episode.path}: episode {episode.index}, column '{column}'"
        raise DatasetError(f"{where}: expected the task in words in every row, got {bad[0]!r}")
    return texts


def _times(episode: FreeEpisode, rows: pa.Table) -> Float[np.ndarray, " t"] | None:
    """Seconds since the episode began, whatever clock the table's are of: float32 is too short for the time of day."""
    if TIME not in rows.column_names:
        return None
    where = f"{episode.path}: episode {episode.index}, column '{TIME}'"
    times = to_numpy(rows[TIME], episode.first_row, where)
    are_numbers = times.dtype.kind in "iuf" and times.ndim == 1
    wrong = ~np.isfinite(times) if are_numbers else np.ones(len(times), bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DatasetError(f"{where}, row {row}: expected a number of seconds, got {times[row]}")
    return times.astype(np.float64) - float(times[0])


def _fps(episode: FreeEpisode, times: Float[np.ndarray, " t"] | None, videos: dict[str, Path]) -> float:
    """Of the first video, else of the times."""
    for camera, path in videos.items():
        with open_video(path, f"episode {episode.index}, camera {camera}", "cannot be read") as (_, stream):
            if stream.average_rate:
                return float(stream.average_rate)
    step = float(np.median(np.diff(times))) if times is not None and len(times) > 1 else 0.0
    if not step > 0:
        raise DatasetError(
            f"{episode.path}: episode {episode.index}: expected a column {TIME} in seconds that grows, or videos, to "
            "know how long a frame is"
        )
    return round(1 / step, 3)


def _feature(column: pa.ChunkedArray) -> dict[str, Any]:
    """What `meta/info.json` says about a column."""
    kind, first = column.type, column[0].as_py()
    if pa.types.is_struct(kind):
        size = _picture_size(first)
        names = ["height", "width", "channels"]
        return (
            {"dtype": "image", "shape": size, "names": names}
            if size
            else {"dtype": "struct", "shape": [1], "names": None}
        )
    shape = [1]
    if is_list(kind):
        shape, kind = list(np.shape(first)) or [1], kind.value_type
        while is_list(kind):
            kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return {"dtype": "string", "shape": shape, "names": None}
    return {"dtype": _DTYPES.get(str(kind), str(kind)), "shape": shape, "names": None}


def _picture_size(value: Any) -> list[int] | None:
    """Of an image column: [height, width, 3]; None for another structure."""
    if not isinstance(value, dict) or not value.get("bytes"):
        return None
    with Image.open(io.BytesIO(value["bytes"])) as picture:
        return [picture.height, picture.width, 3]
