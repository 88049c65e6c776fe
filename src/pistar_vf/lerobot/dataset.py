"""Reading LeRobot datasets, v2.1 and v3.0 alike: the schema, the columns, the prompts and the cameras.

Nothing is read before it is asked for: loading touches `meta/` and the footer of every parquet file (of v3.0 also
the column `episode_index`, which says where each episode is), and a column costs one vectorised read per file. Who
is going to read most columns reads them while the files are open anyway, see `load_lerobot`.
Datasets of version 2.0 share the layout of v2.1 and are read the same way.
"""

import bisect
import dataclasses
import functools
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Int32  # not from pistar_vf.typing: decoding processes must not import JAX

from pistar_vf.changes.journal import check_no_open_transaction
from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.errors import DatasetError
from pistar_vf.hub.address import is_hub_address, parse_hub_address
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.cameras import PICTURE_DTYPES, no_colour_picture, stated_size
from pistar_vf.lerobot.content import content_digests
from pistar_vf.lerobot.episode import ALL_EPISODES, Episode, EpisodeChoice, VideoClip
from pistar_vf.lerobot.from_hub import dataset_name, files_from_hub
from pistar_vf.lerobot.kept_columns import KeptColumns
from pistar_vf.lerobot.metadata import find_dataset, read_info
from pistar_vf.lerobot.parquet import read_parquet_column
from pistar_vf.lerobot.schema import FileSchemas, TableSchema
from pistar_vf.lerobot.typed_values import shown, whole_numbers


@dataclasses.dataclass(frozen=True)
class LeRobotDataset:
    """A LeRobot dataset on disk; made by `load_lerobot`.

    Attributes:
        root: the dataset's folder.
        name: the folder's name; of a snapshot of the hub, the repository's.
        version: of its layout: "v2.0", "v2.1" or "v3.0".
        fps: frames per second.
        robot_type: as in `meta/info.json`, None where it says nothing.
        features: as in `meta/info.json`.
        tasks: `task_index` to prompt.
        episodes: by ascending index.
        num_frames: frames of all episodes together.
        schema: what the parquet files hold: the union over them.
        video_template: where videos are, with LeRobot's placeholders; None for a dataset without videos.
        chunks_size: episodes (of v3.0: files) per chunk folder.
        prompt_column: per-frame string column that holds the prompts, None to use `task_index`.
        kept: the columns that were read when the files were opened.
        choice: which episodes were opened; `episodes` holds these alone.
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
    schema: TableSchema = dataclasses.field(repr=False)
    video_template: str | None
    chunks_size: int
    prompt_column: str | None = None
    kept: KeptColumns = dataclasses.field(default_factory=KeptColumns, repr=False, compare=False)
    choice: EpisodeChoice = ALL_EPISODES

    @classmethod
    def of_parts(
        cls,
        root: Path,
        info: Mapping[str, Any],
        tasks: Mapping[int, str],
        episodes: tuple[Episode, ...],
        schemas: FileSchemas,
        **options: Any,
    ) -> "LeRobotDataset":
        """A dataset from what was read of its metadata.

        Args:
            root: its folder.
            info: `meta/info.json`, as `read_info` returns it.
            tasks: `task_index` to prompt.
            episodes: by ascending index.
            schemas: of their files.
            **options: attributes that have a default.
        """
        return cls(
            root=root,
            name=dataset_name(root),
            version=info["codebase_version"],
            fps=float(info["fps"]),
            robot_type=info["robot_type"],
            features=info["features"],
            tasks=tasks,
            episodes=episodes,
            num_frames=sum(episode.length for episode in episodes),
            schema=TableSchema.of_files(schemas),
            video_template=info["video_path"],
            chunks_size=info["chunks_size"],
            **options,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that any of the parquet files has; `schema.lacking` says which not all have."""
        return self.schema.names

    @property
    def episodes_source(self) -> str:
        """Where in `meta/` the episodes are listed."""
        return str(_layout(self.version).EPISODES_META)

    @property
    def picture_keys(self) -> tuple[str, ...]:
        """Features stored as video or as images, in the order of `meta/info.json`, whatever they show."""
        return tuple(key for key, feature in self.features.items() if feature["dtype"] in PICTURE_DTYPES)

    @property
    def camera_keys(self) -> tuple[str, ...]:
        """The features of `picture_keys` that hold colour pictures."""
        return tuple(key for key in self.picture_keys if self.why_no_camera(key) is None)

    @property
    def video_keys(self) -> tuple[str, ...]:
        """The features of `picture_keys` that are stored as video."""
        return tuple(key for key in self.picture_keys if self.features[key]["dtype"] == "video")

    def why_no_camera(self, key: str) -> str | None:
        """What the pictures of a feature are instead of colour pictures, such as "a depth map"; None for a camera."""
        return no_colour_picture(self.features[key])

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
        self._refuse_partial(name, chosen)
        positions: dict[Path, list[int]] = defaultdict(list)
        for position, episode in enumerate(chosen):
            positions[episode.parquet].append(position)
        parts: dict[int, np.ndarray] = {}
        for path, members in positions.items():
            spans = [(chosen[position].first_row, chosen[position].length) for position in members]
            own = self.kept.read(path, name, spans) or read_parquet_column(path, name, spans)
            for position, part in zip(members, own):
                parts[position] = part
                if part.shape[1:] != parts[0].shape[1:]:
                    raise DatasetError(
                        f"{path}: column '{name}': expected values of shape {parts[0].shape[1:]} "
                        f"as in {chosen[0].parquet.name}, got {part.shape[1:]}"
                    )
        try:
            return np.concatenate([parts[position] for position in range(len(chosen))])
        except TypeError as error:  # numbers here, dates there
            kinds = " and ".join(dict.fromkeys(str(part.dtype) for part in parts.values()))
            raise DatasetError(
                f"{self.root}: column '{name}': expected one type in all files, got {kinds}; write it anew"
            ) from error

    def _refuse_partial(self, name: str, episodes: Sequence[Episode]) -> None:
        """Refuses a column that the files of some of the episodes lack: what it is there, only its owner knows."""
        lacking = set(self.schema.lacking.get(name, ()))
        missing = [episode for episode in episodes if episode.parquet in lacking] if lacking else []
        if missing:
            raise DatasetError(
                f"{missing[0].parquet}: episode {missing[0].index}: no column '{name}', which other files of the "
                f"dataset have ({len(missing)} of {len(episodes)} episodes lack it); say what it is there with "
                f"`pistar-vf merge {shlex.quote(str(self.root))} --fill {name}=<value> --output_dir <new folder>`, or "
                "leave them out"
            )

    @functools.cached_property
    def layout(self) -> EpisodeLayout:
        """How the rows of all episodes, one after another, divide into them."""
        return EpisodeLayout.of(episode.length for episode in self.episodes)

    def files(self) -> dict[Path, tuple[Episode, ...]]:
        """The parquet files, and whose rows are in each, in the order of the rows."""
        found: dict[Path, list[Episode]] = defaultdict(list)
        for episode in self.episodes:
            found[episode.parquet].append(episode)
        return {path: tuple(sorted(own, key=lambda episode: episode.first_row)) for path, own in found.items()}

    @functools.cached_property
    def content_digests(self) -> Mapping[int, str]:
        """Episode index to a digest of its content, see `lerobot.content`; read once, and empty where there is none."""
        digests = content_digests(self.files()) if self.kept.digests is None else self.kept.digests
        return {episode.index: digests[episode.index] for episode in self.episodes if episode.index in digests}

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
        return stated_size(self.features[key], f"{self.root}/meta/info.json: camera '{key}'")

    @functools.cached_property
    def _prompt_lookup(self) -> tuple[tuple[str, ...], Int32[np.ndarray, " t"]]:
        if self.prompt_column is not None:
            return self._prompts_of_column(self.prompt_column)
        prompts = tuple(dict.fromkeys(self.tasks.values()))
        numbers = whole_numbers(self.read_column("task_index"), f"{self.root}: column 'task_index'")
        present, inverse = np.unique(numbers, return_inverse=True)
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
        if texts.dtype != object or not all(isinstance(text, str) for text in texts):
            raise DatasetError(
                f"{self.root}: prompt_column '{column}': expected strings, got {texts.dtype} such as {shown(texts[0])}"
            )
        present, inverse = np.unique(texts.astype(str), return_inverse=True)
        return tuple(str(text) for text in present), inverse.astype(np.int32)


def load_lerobot(
    data_dir: str | Path,
    prompt_column: str | None = None,
    choice: EpisodeChoice = ALL_EPISODES,
    *,
    read_ahead: Sequence[str] | None = None,
) -> LeRobotDataset:
    """Opens a LeRobot dataset (v2.0, v2.1 or v3.0) and checks that its parts agree.

    Args:
        data_dir: a folder, or `local/<name>` or `<org>/<name>` in the LeRobot cache (`$HF_LEROBOT_HOME`,
            default `~/.cache/huggingface/lerobot`), or `hf://<owner>/<name>[@<revision>]` on the hub, of which the
            files of the chosen episodes are downloaded.
        prompt_column: per-frame string column that holds the prompts, None to use `task_index`.
        choice: which episodes to open, as if it had no others; these may be damaged or missing.
        read_ahead: for who is going to read most columns: every file is then opened once, and all columns of single
            numbers and words, the state, and those named here are kept for `read_column`. None opens the files again
            for every column that is asked for.

    Raises:
        ConfigError: an episode of the choice does not exist.
        DatasetError: the dataset is missing, of another version, empty, damaged, or contradicts itself.
    """
    root = find_dataset(data_dir)
    check_no_open_transaction(root)
    info = read_info(root)
    layout = _layout(info["codebase_version"])
    if is_hub_address(data_dir):
        address = parse_hub_address(str(data_dir), "--data_dir")
        for files in layout.files_of(root, info, choice):
            files_from_hub(address, root, files)
    tasks, kept = layout.read_tasks(root), KeptColumns(read_ahead)
    episodes, schemas = layout.read_episodes(root, info, choice, kept)
    num_frames = sum(episode.length for episode in episodes)
    if choice == ALL_EPISODES and info.get("total_frames") not in (None, num_frames):
        raise DatasetError(
            f"{root}: meta/info.json says total_frames {info['total_frames']}, but the {len(episodes)} episodes of "
            f"{layout.EPISODES_META} add up to {num_frames}; the copy of the dataset may be incomplete"
        )
    options = {"prompt_column": prompt_column, "kept": kept, "choice": choice}
    return LeRobotDataset.of_parts(root, info, tasks, episodes, schemas, **options)


def _layout(version: str) -> ModuleType:
    return v30 if version == v30.CODEBASE_VERSION else v21
