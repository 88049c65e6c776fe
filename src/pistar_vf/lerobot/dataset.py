"""Reading LeRobot datasets, v2.1 and v3.0 alike: the schema, the columns, the prompts and the cameras.

Nothing is read before it is asked for: loading touches `meta/` and the footer of every parquet file (of v3.0 also
the column `episode_index`, which says where each episode is), and a column costs one vectorised read per file.
Datasets of version 2.0 share the layout of v2.1 and are read the same way.
"""

import bisect
import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Int32  # not from pistar_vf.typing: decoding processes must not import JAX

from pistar_vf.changes.journal import check_no_open_transaction
from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.content import content_digests
from pistar_vf.lerobot.episode import Episode, VideoClip
from pistar_vf.lerobot.metadata import find_dataset, read_info
from pistar_vf.lerobot.parquet import read_column_names, read_parquet_column

_WRIST_WORDS = ("wrist", "hand", "gripper")


@dataclasses.dataclass(frozen=True)
class LeRobotDataset:
    """A LeRobot dataset on disk; made by `load_lerobot`.

    Attributes:
        root: the dataset's folder.
        name: the folder's name.
        version: of its layout: "v2.0", "v2.1" or "v3.0".
        fps: frames per second.
        robot_type: as in `meta/info.json`, None where it says nothing.
        features: as in `meta/info.json`.
        tasks: `task_index` to prompt.
        episodes: by ascending index.
        num_frames: frames of all episodes together.
        columns: names of the columns in the parquet files.
        video_template: where videos are, with LeRobot's placeholders; None for a dataset without videos.
        chunks_size: episodes (of v3.0: files) per chunk folder.
        prompt_column: per-frame string column that holds the prompts, None to use `task_index`.
    """

    root: Path
    name: str
    version: str
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
    def video_keys(self) -> tuple[str, ...]:
        """The cameras that are stored as video."""
        return tuple(key for key in self.camera_keys if self.features[key]["dtype"] == "video")

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
        positions: dict[Path, list[int]] = defaultdict(list)
        for position, episode in enumerate(chosen):
            positions[episode.parquet].append(position)
        parts: dict[int, np.ndarray] = {}
        for path, members in positions.items():
            spans = [(chosen[position].first_row, chosen[position].length) for position in members]
            for position, part in zip(members, read_parquet_column(path, name, spans)):
                parts[position] = part
                if part.shape[1:] != parts[0].shape[1:]:
                    raise DatasetError(
                        f"{path}: column '{name}': expected values of shape {parts[0].shape[1:]} "
                        f"as in {chosen[0].parquet.name}, got {part.shape[1:]}"
                    )
        return np.concatenate([parts[position] for position in range(len(chosen))])

    def files(self) -> dict[Path, tuple[Episode, ...]]:
        """The parquet files, and whose rows are in each, in the order of the rows."""
        found: dict[Path, list[Episode]] = defaultdict(list)
        for episode in self.episodes:
            found[episode.parquet].append(episode)
        return {path: tuple(sorted(own, key=lambda episode: episode.first_row)) for path, own in found.items()}

    @functools.cached_property
    def content_digests(self) -> Mapping[int, str]:
        """Episode index to a digest of its content, see `lerobot.content`; read once, and empty where there is none."""
        return content_digests(self.files(), self.columns)

    def episode_of(self, row: int) -> Episode:
        """The episode that holds a row of the concatenation of all episodes."""
        return self.episodes[bisect.bisect_right(self.episodes, row, key=lambda episode: episode.start) - 1]

    def video_clip(self, episode: Episode, key: str) -> VideoClip:
        """Where the pictures of one camera of one episode should be.

        Raises:
            DatasetError: `meta/info.json` has no `video_path`, or one with unknown placeholders.
        """
        if self.video_template is None:
            raise DatasetError(f"{self.root}/meta/info.json: camera '{key}' is a video, but there is no 'video_path'")
        if key in episode.clips:
            return episode.clips[key]
        return VideoClip(v21.episode_path(self.video_template, self.root, episode.index, self.chunks_size, key))

    def video_path(self, episode: Episode, key: str) -> Path:
        """The file of `video_clip`."""
        return self.video_clip(episode, key).path

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
                source = _layout(self.version).TASKS_PATH
                raise DatasetError(
                    f"{self.root}: episode {self.episode_of(row).index} has task_index {task_index}, which is not in "
                    f"{source} (it has {sorted(self.tasks)}); add the task there or pass prompt_column"
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
    """Opens a LeRobot dataset (v2.0, v2.1 or v3.0) and checks that its parts agree.

    Args:
        data_dir: a folder, or `local/<name>` or `<org>/<name>` in the LeRobot cache (`$HF_LEROBOT_HOME`,
            default `~/.cache/huggingface/lerobot`).
        prompt_column: per-frame string column that holds the prompts, None to use `task_index`.

    Raises:
        DatasetError: the dataset is missing, of another version, empty, damaged, or contradicts itself.
    """
    root = find_dataset(data_dir)
    check_no_open_transaction(root)
    info = read_info(root)
    layout = _layout(info["codebase_version"])
    tasks = layout.read_tasks(root)
    episodes = layout.read_episodes(root, info)
    num_frames = sum(episode.length for episode in episodes)
    if num_frames != info.get("total_frames", num_frames):
        raise DatasetError(
            f"{root}: meta/info.json says total_frames {info['total_frames']}, but the {len(episodes)} episodes of "
            f"{layout.EPISODES_META} add up to {num_frames}; the copy of the dataset may be incomplete"
        )
    return LeRobotDataset(
        root=root,
        name=root.resolve().name,
        version=info["codebase_version"],
        fps=float(info["fps"]),
        robot_type=info["robot_type"],
        features=info["features"],
        tasks=tasks,
        episodes=episodes,
        num_frames=num_frames,
        columns=read_column_names(episodes[0].parquet),
        video_template=info["video_path"],
        chunks_size=info["chunks_size"],
        prompt_column=prompt_column,
    )


def _layout(version: str) -> ModuleType:
    return v30 if version == v30.CODEBASE_VERSION else v21


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
