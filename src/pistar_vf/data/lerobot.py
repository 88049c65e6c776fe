"""Reading LeRobot v2.1 datasets: the schema, the columns, the prompts and the cameras.

Nothing is read before it is asked for: loading touches `meta/` and the footer of every parquet file, and a
column costs one vectorised read per file. Datasets of version 2.0 share the layout and are read the same way.
"""

import bisect
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32  # not from pistar_vf.typing: decoding processes must not import JAX

from pistar_vf.data.lerobot_meta import fill_template, find_dataset, read_info, read_jsonl
from pistar_vf.data.parquet import open_parquet, read_parquet_column
from pistar_vf.errors import ConfigError, DatasetError

_WRIST_WORDS = ("wrist", "hand", "gripper")


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode of a dataset.

    Attributes:
        index: the dataset's own `episode_index`; indices may have gaps.
        length: number of frames.
        start: row of the first frame when all episodes are concatenated in order.
        tasks: the prompts named in `meta/episodes.jsonl`.
        parquet: the file that holds its rows.
        metadata: its line of `meta/episodes.jsonl`, untouched.
    """

    index: int
    length: int
    start: int
    tasks: tuple[str, ...]
    parquet: Path
    metadata: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class LeRobotDataset:
    """A LeRobot v2.1 dataset on disk; made by `load_lerobot`.

    Attributes:
        root: the dataset's folder.
        name: the folder's name.
        fps: frames per second.
        robot_type: as in `meta/info.json`, None where it says nothing.
        features: as in `meta/info.json`.
        tasks: `task_index` to prompt.
        episodes: by ascending index.
        num_frames: frames of all episodes together.
        columns: names of the columns in the parquet files.
        video_template: where videos are, with LeRobot's placeholders; None for a dataset without videos.
        chunks_size: episodes per chunk folder.
        prompt_column: per-frame string column that holds the prompts, None to use `task_index`.
    """

    root: Path
    name: str
    fps: float
    robot_type: str | None
    features: Mapping[str, Mapping[str, Any]] = dataclasses.field(repr=False)
    tasks: Mapping[int, str] = dataclasses.field(repr=False)
    episodes: tuple[Episode, ...] = dataclasses.field(repr=False)
    num_frames: int
    columns: tuple[str, ...]
    video_template: str | None
    chunks_size: int
    prompt_column: str | None = None

    @property
    def camera_keys(self) -> tuple[str, ...]:
        """Features that hold pictures, stored as video or as images, in the order of `meta/info.json`."""
        return tuple(key for key, feature in self.features.items() if feature.get("dtype") in ("video", "image"))

    @property
    def prompts(self) -> tuple[str, ...]:
        """The distinct prompts."""
        return self._prompt_lookup[0]

    def prompt_index(self) -> Int32[np.ndarray, " t"]:
        """For every frame, the position of its prompt in `prompts`."""
        return self._prompt_lookup[1]

    def read_column(self, name: str, episodes: Iterable[Episode] | None = None) -> np.ndarray:
        """Reads one column of every frame.

        Args:
            name: the column.
            episodes: which episodes, in which order; None for all.

        Returns:
            [frames], or [frames, k] for vectors of k > 1 numbers; strings come as an object array.

        Raises:
            DatasetError: there is no such column, or its values do not form an array.
        """
        if name not in self.columns:
            raise DatasetError(f"{self.root}: no column '{name}'; the columns are {', '.join(self.columns)}")
        chosen = self.episodes if episodes is None else tuple(episodes)
        parts = [read_parquet_column(episode.parquet, name) for episode in chosen]
        for episode, part in zip(chosen, parts):
            if part.shape[1:] != parts[0].shape[1:]:
                raise DatasetError(
                    f"{episode.parquet}: column '{name}': expected values of shape {parts[0].shape[1:]} "
                    f"as in {chosen[0].parquet.name}, got {part.shape[1:]}"
                )
        return np.concatenate(parts)

    def episode_of(self, row: int) -> Episode:
        """The episode that holds a row of the concatenation of all episodes."""
        return self.episodes[bisect.bisect_right(self.episodes, row, key=lambda episode: episode.start) - 1]

    def video_path(self, episode: Episode, key: str) -> Path:
        """Where the video of one camera of one episode should be.

        Raises:
            DatasetError: `meta/info.json` has no `video_path`, or one with unknown placeholders.
        """
        if self.video_template is None:
            raise DatasetError(f"{self.root}/meta/info.json: camera '{key}' is a video, but there is no 'video_path'")
        return fill_template(self.video_template, self.root, episode.index, self.chunks_size, key)

    def image_size(self, key: str) -> tuple[int, int]:
        """Height and width of a camera's pictures, pixels, as `meta/info.json` states them.

        Raises:
            DatasetError: the stated shape is not that of a colour picture.
        """
        shape = tuple(self.features[key].get("shape", ()))
        channels_first = _flat_names(self.features[key].get("names"))[:1] in (["channel"], ["channels"])
        if len(shape) == 3 and shape[0] == 3 and (channels_first or shape[2] != 3):
            return shape[1], shape[2]
        if len(shape) == 3 and shape[2] == 3:
            return shape[0], shape[1]
        raise DatasetError(
            f"{self.root}/meta/info.json: camera '{key}': expected a shape [height, width, 3] or [3, height, width], "
            f"got {list(shape)}"
        )

    @functools.cached_property
    def _prompt_lookup(self) -> tuple[tuple[str, ...], Int32[np.ndarray, " t"]]:
        if self.prompt_column is not None:
            return self._prompts_of_column(self.prompt_column)
        prompts = tuple(dict.fromkeys(self.tasks.values()))
        present, inverse = np.unique(self.read_column("task_index"), return_inverse=True)
        for position, task_index in enumerate(present):
            if task_index not in self.tasks:
                row = int(np.argmax(inverse == position))
                raise DatasetError(
                    f"{self.root}: episode {self.episode_of(row).index} has task_index {task_index}, which is not in "
                    f"meta/tasks.jsonl (it has {sorted(self.tasks)}); add the task there or pass prompt_column"
                )
        positions = np.array([prompts.index(self.tasks[int(task_index)]) for task_index in present], np.int32)
        return prompts, positions[inverse]

    def _prompts_of_column(self, column: str) -> tuple[tuple[str, ...], Int32[np.ndarray, " t"]]:
        texts = self.read_column(column)
        if texts.dtype != object:
            raise DatasetError(f"{self.root}: prompt_column '{column}': expected strings, got {texts.dtype}")
        present, inverse = np.unique(texts.astype(str), return_inverse=True)
        return tuple(str(text) for text in present), inverse.astype(np.int32)


def load_lerobot(data_dir: str | Path, prompt_column: str | None = None) -> LeRobotDataset:
    """Opens a LeRobot v2.1 dataset and checks that its parts agree.

    Args:
        data_dir: a folder, or `local/<name>` or `<org>/<name>` in the LeRobot cache (`$HF_LEROBOT_HOME`,
            default `~/.cache/huggingface/lerobot`).
        prompt_column: per-frame string column that holds the prompts, None to use `task_index`.

    Raises:
        DatasetError: the dataset is missing, of another version, empty, damaged, or contradicts itself.
    """
    root = find_dataset(data_dir)
    info = read_info(root)
    tasks = read_jsonl(root / "meta" / "tasks.jsonl", ("task_index", "task"))
    episodes = _read_episodes(root, info)
    num_frames = sum(episode.length for episode in episodes)
    if num_frames != info.get("total_frames", num_frames):
        raise DatasetError(
            f"{root}: meta/info.json says total_frames {info['total_frames']}, but the {len(episodes)} episodes of "
            f"meta/episodes.jsonl add up to {num_frames}; the copy of the dataset may be incomplete"
        )
    return LeRobotDataset(
        root=root,
        name=root.resolve().name,
        fps=float(info["fps"]),
        robot_type=info["robot_type"],
        features=info["features"],
        tasks={int(task["task_index"]): str(task["task"]) for task in tasks},
        episodes=episodes,
        num_frames=num_frames,
        columns=_check_rows(episodes),
        video_template=info["video_path"],
        chunks_size=info["chunks_size"],
        prompt_column=prompt_column,
    )


def _read_episodes(root: Path, info: Mapping[str, Any]) -> tuple[Episode, ...]:
    lines = read_jsonl(root / "meta" / "episodes.jsonl", ("episode_index", "length"))
    episodes: list[Episode] = []
    start = 0
    for line in sorted(lines, key=lambda line: line["episode_index"]):
        index, length = int(line["episode_index"]), int(line["length"])
        if episodes and episodes[-1].index == index:
            raise DatasetError(f"{root}/meta/episodes.jsonl: episode {index} is listed twice; remove one line")
        if length < 1:
            raise DatasetError(f"{root}/meta/episodes.jsonl: episode {index}: expected length >= 1, got {length}")
        parquet = fill_template(info["data_path"], root, index, info["chunks_size"])
        episodes.append(Episode(index, length, start, tuple(line.get("tasks", ())), parquet, line))
        start += length
    if not episodes:
        raise DatasetError(f"{root}: the dataset is empty (meta/episodes.jsonl lists no episode)")
    return tuple(episodes)


def _check_rows(episodes: Sequence[Episode]) -> tuple[str, ...]:
    """Compares every file's footer with the metadata; returns the columns of the first."""
    columns: tuple[str, ...] = ()
    for episode in episodes:
        with open_parquet(episode.parquet) as file:
            rows = file.metadata.num_rows
            columns = columns or tuple(file.schema_arrow.names)
        if rows != episode.length:
            raise DatasetError(
                f"{episode.parquet}: episode {episode.index}: expected {episode.length} rows (meta/episodes.jsonl), "
                f"got {rows}; the file and the metadata are from different versions of the dataset"
            )
    return columns


def choose_cameras(
    dataset: LeRobotDataset,
    image_key: str | None = None,
    wrist_image_key: str | None = None,
    extra_image_keys: Sequence[str] = (),
) -> dict[str, str | None]:
    """Maps the model's camera names to the dataset's.

    Without any key, a single camera becomes the base, and of two cameras the only one named after a wrist, hand
    or gripper becomes the wrist. As soon as one key is given, exactly the cameras named are used.

    Args:
        dataset: the dataset.
        image_key: the camera that sees the scene.
        wrist_image_key: the camera on the wrist; "missing" declares one that is always masked.
        extra_image_keys: further cameras.

    Returns:
        `base_0_rgb`, `wrist_0_rgb`, `extra_0_rgb`, ... to a feature key, or to None for a missing camera.

    Raises:
        ConfigError: a key is not a camera, is given twice, or the choice is not obvious.
    """
    wrist_missing = wrist_image_key == "missing"
    if image_key is None:
        if (wrist_image_key is None or wrist_missing) and not extra_image_keys:
            image_key, inferred = _infer_cameras(dataset, want_wrist=not wrist_missing)
            wrist_image_key = wrist_image_key or inferred
        else:
            raise ConfigError(f"other cameras are given, but not the base camera; {_candidates(dataset)}")
    chosen: dict[str, str | None] = {"base_0_rgb": image_key}
    if wrist_image_key is not None:
        chosen["wrist_0_rgb"] = None if wrist_missing else wrist_image_key
    chosen |= {f"extra_{i}_rgb": key for i, key in enumerate(extra_image_keys)}
    keys = [key for key in chosen.values() if key is not None]
    for key in keys:
        if key not in dataset.camera_keys:
            raise ConfigError(f"'{key}' is not a camera of {dataset.root}; {_candidates(dataset)}")
        if keys.count(key) > 1:
            raise ConfigError(f"camera '{key}' is given twice; {_candidates(dataset)}")
    return chosen


def _infer_cameras(dataset: LeRobotDataset, *, want_wrist: bool) -> tuple[str, str | None]:
    cameras = dataset.camera_keys
    wrists = [key for key in cameras if any(word in key.lower() for word in _WRIST_WORDS)]
    if len(cameras) == 1:
        return cameras[0], None
    if want_wrist and len(cameras) == 2 and len(wrists) == 1:
        return next(key for key in cameras if key not in wrists), wrists[0]
    raise ConfigError(f"cannot tell which of {len(cameras)} cameras is which; {_candidates(dataset)}")


def _candidates(dataset: LeRobotDataset) -> str:
    keys = ", ".join(dataset.camera_keys) or "none: meta/info.json has no feature of dtype video or image"
    return f"cameras: {keys}; choose with --image_key and --wrist_image_key (a key, or 'missing')"


def _flat_names(names: Any) -> list[str]:
    """Axis names, which datasets store as a list, a list of lists, a dict of lists, or null."""
    if isinstance(names, str):
        return [names]
    inner = names.values() if isinstance(names, Mapping) else names or ()
    return [name for entry in inner for name in _flat_names(entry)]
