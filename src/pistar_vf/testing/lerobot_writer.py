"""Writes small LeRobot datasets for tests and demonstrations: v2.1 as lerobot 0.3.3 lays them out, or v3.0."""

import dataclasses
import io
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.errors import DatasetError
from pistar_vf.lerobot import v21
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.typing import Shaped, UInt8

_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    # Slower presets look ahead, and then the bytes vary from run to run even on one thread.
    "h264": ("libx264", {"g": "2", "crf": "18", "preset": "ultrafast"}),
    "mpeg4": ("mpeg4", {"g": "2", "b": "4000000"}),
    "av1": ("libsvtav1", {"g": "2", "crf": "30", "preset": "8"}),
}
_IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_NUM_STATS_FRAMES = 16


@dataclasses.dataclass(frozen=True)
class EpisodeData:
    """One episode in memory.

    Attributes:
        columns: feature name to one row per frame: numbers, vectors or strings.
        images: feature name of a camera to its pixels, RGB in [0, 255].
        task: the prompt, or one prompt per frame.
        metadata: further entries of the episode's line in `episodes.jsonl`.
    """

    columns: Mapping[str, Shaped[np.ndarray, "t ..."]]
    images: Mapping[str, UInt8[np.ndarray, "t h w 3"]]
    task: str | Sequence[str]
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        arrays = [*self.columns.values(), *self.images.values()]
        return len(arrays[0]) if arrays else 0

    @property
    def tasks(self) -> list[str]:
        """The prompt of every frame."""
        return [self.task] * len(self) if isinstance(self.task, str) else list(self.task)


def write_lerobot_v21(
    root: str | Path,
    episodes: Iterable[EpisodeData],
    *,
    fps: int,
    robot_type: str = "synthetic",
    storage: Literal["video", "image"] = "video",
    codec: Literal["h264", "mpeg4", "av1"] = "h264",
) -> Path:
    """Writes a LeRobot v2.1 dataset, one episode in memory at a time.

    Args:
        root: folder to create; it must not hold files yet.
        episodes: all with the same columns and cameras; the first one defines the features.
        fps: frames per second of the tables and the videos.
        robot_type: what `info.json` says the robot is.
        storage: `video` for one mp4 per camera and episode, `image` for PNG files inside the parquet table.
        codec: of the mp4 files; without effect on `image` storage.

    Returns:
        `root` as a path.

    Raises:
        DatasetError: `root` holds files, there are no episodes, or an episode does not fit the first one.
    """
    root = Path(root)
    if root.exists() and any(root.iterdir()):
        raise DatasetError(f"expected a new or empty folder to write a dataset to, got {root}, which holds files")
    (root / "meta").mkdir(parents=True, exist_ok=True)
    writer = _Writer(root, fps, storage, codec)
    for episode in episodes:
        writer.add(episode)
    writer.finish(robot_type)
    return root


def write_lerobot_v30(
    root: str | Path, episodes: Iterable[EpisodeData], *, fps: int, storage: Literal["video", "image"] = "video"
) -> Path:
    """Writes a LeRobot v3.0 dataset: a v2.1 dataset (see `write_lerobot_v21`), converted.

    Args:
        root: folder to create, new or empty.
        episodes: as for `write_lerobot_v21`.
        fps: frames per second of the tables and the videos.
        storage: `video` or `image`.

    Returns:
        `root` as a path.

    Raises:
        DatasetError: `root` holds files, there are no episodes, or an episode does not fit the first one.
    """
    with tempfile.TemporaryDirectory() as folder:
        dataset = load_lerobot(write_lerobot_v21(Path(folder) / "v21", episodes, fps=fps, storage=storage))
        return convert_dataset(dataset, root, progress=False)


class _Writer:
    """Holds the counters and features that grow while episodes stream through."""

    def __init__(self, root: Path, fps: int, storage: str, codec: str):
        self.root, self.fps, self.storage, self.codec = root, fps, storage, codec
        self.features: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, int] = {}
        self.num_episodes = self.num_frames = 0

    def add(self, episode: EpisodeData) -> None:
        _check_episode(episode, self.num_episodes)
        columns = {name: np.asarray(values) for name, values in episode.columns.items()}
        columns |= self._index_columns(episode)
        features = self._features(columns, episode.images)
        expected, found = _summary(self.features or features), _summary(features)
        if found != expected:
            raise DatasetError(
                f"episode {self.num_episodes}: expected the features of episode 0, {expected}, got {found}; "
                "give every episode the same columns, dtypes and image sizes"
            )
        self.features = self.features or features
        self._write_table(columns, episode.images)
        if self.storage == "video":
            for name, frames in episode.images.items():
                _encode_video(self._path(v21.VIDEO_PATH, video_key=name), frames, self.fps, self.codec)
        self._write_meta(episode, columns)
        self.num_frames += len(episode)
        self.num_episodes += 1

    def finish(self, robot_type: str) -> None:
        if not self.num_episodes:
            raise DatasetError(f"expected at least one episode to write to {self.root}, got none")
        videos = [name for name, feature in self.features.items() if feature["dtype"] == "video"]
        info = {
            "codebase_version": v21.CODEBASE_VERSION,
            "robot_type": robot_type,
            "total_episodes": self.num_episodes,
            "total_frames": self.num_frames,
            "total_tasks": len(self.tasks),
            "total_videos": len(videos) * self.num_episodes,
            "total_chunks": (self.num_episodes - 1) // v21.CHUNK_SIZE + 1,
            "chunks_size": v21.CHUNK_SIZE,
            "fps": self.fps,
            "splits": {"train": f"0:{self.num_episodes}"},
            "data_path": v21.DATA_PATH,
            "video_path": v21.VIDEO_PATH if videos else None,
            "features": self.features,
        }
        v21.write_json(self.root / "meta" / "info.json", info)
        lines = [v21.json_line({"task_index": index, "task": task}) for task, index in self.tasks.items()]
        (self.root / "meta" / "tasks.jsonl").write_text("".join(lines), encoding="utf-8")

    def _index_columns(self, episode: EpisodeData) -> dict[str, np.ndarray]:
        frame_index = np.arange(len(episode), dtype=np.int64)
        task_index = [self.tasks.setdefault(task, len(self.tasks)) for task in episode.tasks]
        return {
            "timestamp": (frame_index / self.fps).astype(np.float32),
            "frame_index": frame_index,
            "episode_index": np.full_like(frame_index, self.num_episodes),
            "index": frame_index + self.num_frames,
            "task_index": np.array(task_index, np.int64),
        }

    def _features(self, columns: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray]) -> dict[str, dict]:
        features = {name: v21.feature_of(values) for name, values in columns.items() if name not in v21.INDEX_COLUMNS}
        for name, frames in images.items():
            features[name] = {
                "dtype": self.storage,
                "shape": list(frames.shape[1:]),
                "names": ["height", "width", "channels"],
            }
            if self.storage == "video":
                features[name]["info"] = _video_info(frames, self.fps, self.codec)
        return features | {name: v21.feature_of(columns[name]) for name in v21.INDEX_COLUMNS}

    def _path(self, template: str, **fields: str) -> Path:
        chunk = self.num_episodes // v21.CHUNK_SIZE
        path = self.root / template.format(episode_chunk=chunk, episode_index=self.num_episodes, **fields)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write_table(self, columns: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray]) -> None:
        arrays = {
            name: _png_column(images[name]) if name in images else v21.arrow_column(columns[name])
            for name, feature in self.features.items()
            if feature["dtype"] != "video"
        }
        huggingface = {name: v21.huggingface_feature(self.features[name]) for name in arrays}
        metadata = {"huggingface": json.dumps({"info": {"features": huggingface}})}
        pq.write_table(pa.table(arrays).replace_schema_metadata(metadata), self._path(v21.DATA_PATH))

    def _write_meta(self, episode: EpisodeData, columns: Mapping[str, np.ndarray]) -> None:
        line = {"episode_index": self.num_episodes, "tasks": list(dict.fromkeys(episode.tasks)), "length": len(episode)}
        numeric = {name: values for name, values in columns.items() if self.features[name]["dtype"] != "string"}
        stats = {name: v21.column_stats(values) for name, values in numeric.items()}
        stats |= {name: _image_stats(frames) for name, frames in episode.images.items()}
        for file, content in (
            ("episodes.jsonl", line | dict(episode.metadata)),
            ("episodes_stats.jsonl", {"episode_index": self.num_episodes, "stats": stats}),
        ):
            with (self.root / "meta" / file).open("a", encoding="utf-8") as stream:
                stream.write(v21.json_line(content))


def _summary(features: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: f"{feature['dtype']}{feature['shape']}" for name, feature in features.items()}


def _check_episode(episode: EpisodeData, index: int) -> None:
    """Refuses what would give a dataset nobody can read."""
    lengths = {name: len(values) for name, values in {**episode.columns, **episode.images}.items()}
    lengths["task"] = len(episode.tasks)
    if len(set(lengths.values())) != 1 or len(episode) == 0:
        raise DatasetError(f"episode {index}: expected one number of frames, at least 1, everywhere, got {lengths}")
    if reserved := set(episode.columns) & set(v21.INDEX_COLUMNS):
        raise DatasetError(f"episode {index}: expected no columns {sorted(reserved)}, which the writer fills in itself")
    for name, values in episode.columns.items():
        if np.ndim(values) > 2:
            raise DatasetError(
                f"episode {index}, column '{name}': expected one number, string or vector per frame, "
                f"got rows of shape {np.shape(values)[1:]}; flatten them"
            )
    for name, frames in episode.images.items():
        if frames.shape[1] % 2 or frames.shape[2] % 2:
            raise DatasetError(
                f"episode {index}, '{name}': expected an even height and width (video stores colour at half size), "
                f"got {frames.shape[1]}x{frames.shape[2]}"
            )


def _encode_video(path: Path, frames: UInt8[np.ndarray, "t h w 3"], fps: int, codec: str) -> None:
    encoder, options = _ENCODERS[codec]
    with av.open(str(path), "w") as container:
        stream = cast(av.VideoStream, container.add_stream(encoder, rate=fps, options=options))
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.thread_count = 1  # the same bytes whatever the number of cores
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def _video_info(frames: UInt8[np.ndarray, "t h w 3"], fps: int, codec: str) -> dict[str, Any]:
    return {
        "video.height": frames.shape[1],
        "video.width": frames.shape[2],
        "video.codec": codec,
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }


def _png_column(frames: UInt8[np.ndarray, "t h w 3"]) -> pa.Array:
    rows = []
    for index, frame in enumerate(frames):
        png = io.BytesIO()
        Image.fromarray(frame).save(png, format="PNG")
        rows.append({"bytes": png.getvalue(), "path": f"frame_{index:06d}.png"})
    return pa.array(rows, _IMAGE_TYPE)


def _image_stats(frames: UInt8[np.ndarray, "t h w 3"]) -> dict[str, Any]:
    """Per channel, on [0, 1] pixels of a few frames, in the [3, 1, 1] shape LeRobot insists on."""
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _NUM_STATS_FRAMES)).round().astype(int)
    stats = v21.column_stats(frames[chosen].reshape(-1, 3) / 255.0)
    return {name: [[[x]] for x in stats[name]] for name in ("min", "max", "mean", "std")} | {"count": [len(chosen)]}
