"""A copy of a dataset whose index columns and times are what its rows and pictures say by their order."""

import contextlib
import json
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa

from pistar_vf.changes.staging import check_output, files_below, link_or_copy, scratch_folder
from pistar_vf.curation.merge import merge_datasets
from pistar_vf.errors import DatasetError
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode import Episode, EpisodeChoice
from pistar_vf.lerobot.metadata import read_info
from pistar_vf.lerobot.parquet import ColumnFormError, column_of, open_parquet
from pistar_vf.lerobot.rewrite import replace_columns
from pistar_vf.lerobot.typed_values import whole_numbers

_INFO = Path("meta", "info.json")


def repair_dataset(dataset: LeRobotDataset, output_dir: str | Path, *, progress: bool = True) -> Path:
    """Writes a copy with the times `frame_index / fps` and with the index columns counted anew.

    `task_index` is written where it was missing and the prompt is known. Videos are linked, nothing else changes. Rows
    and pictures must be in order and belong together one to one: that is what the new times say.

    Args:
        dataset: as `load_lerobot` opens it, perhaps without some episodes.
        output_dir: a new or empty folder outside the dataset.
        progress: shows progress bars on stderr.

    Returns:
        `output_dir`.

    Raises:
        DatasetError: rows are not in the order of their `frame_index`, no prompt is known, only some files have a
            column, or the dataset cannot be copied.
    """
    output_dir = Path(output_dir)
    check_output(dataset.root, output_dir)
    _refuse_partial(dataset)
    version = v30.CODEBASE_VERSION if dataset.version == v30.CODEBASE_VERSION else v21.CODEBASE_VERSION
    with scratch_folder(output_dir) as scratch:
        copy = scratch / dataset.name
        copy.mkdir()
        _link_others(dataset, copy)
        for path, episodes in dataset.files().items():
            target = copy / path.relative_to(dataset.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            columns = _columns(dataset, path, episodes)
            replace_columns(path, target, columns, drop=[name for name in columns if _is_of_another_type(path, name)])
        _write_info(dataset, copy)
        repaired = load_lerobot(copy, choice=EpisodeChoice(tuple(episode.index for episode in dataset.episodes)))
        return merge_datasets([repaired], output_dir, version, progress=progress)


def _refuse_partial(dataset: LeRobotDataset) -> None:
    """Of columns that only some files have, only those can be written that are counted."""
    for name, files in dataset.schema.lacking.items():
        if name not in v21.INDEX_COLUMNS:
            raise DatasetError(
                f"{files[0]}: expected the column '{name}', which other files of {dataset.root} have, got none "
                f"({len(files)} files lack it); say what it is there, with `pistar-vf merge "
                f"{shlex.quote(str(dataset.root))} --fill {name}=<value> --output_dir <new folder>`, and repair that"
            )


def _link_others(dataset: LeRobotDataset, copy: Path) -> None:
    """Everything but the tables and `meta/info.json`: pictures that the tables name may be anywhere."""
    for path in files_below(dataset.root):
        if path != _INFO and (path.parts[0] == "meta" or path.suffix != ".parquet"):
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(dataset.root / path, copy / path)


def _columns(dataset: LeRobotDataset, path: Path, episodes: tuple[Episode, ...]) -> dict[str, np.ndarray]:
    """The new columns of one file; rows of episodes that are not open keep their numbers."""
    with open_parquet(path) as file:
        num_rows, names = file.metadata.num_rows, file.schema_arrow.names
        columns = {name: np.zeros(num_rows, np.int64) for name in ("frame_index", "episode_index", "index")}
        columns["timestamp"] = np.zeros(num_rows, np.float32)
        for name in columns:
            known = name in names and not _is_of_another_type(path, name)
            if known and sum(episode.length for episode in episodes) < num_rows:
                columns[name] = np.array(column_of(file, path, name)[0]).reshape(num_rows)
    if "task_index" not in names:
        columns["task_index"] = np.zeros(num_rows, np.int64)
    if "frame_index" in names:
        _check_order(dataset, "frame_index", episodes)
    if "index" in names:
        # With frame_index, nothing hangs on what is no number here.
        with contextlib.suppress(*([ColumnFormError] if "frame_index" in names else [])):
            _check_order(dataset, "index", episodes)
    for episode in episodes:
        rows = slice(episode.first_row, episode.first_row + episode.length)
        frames = np.arange(episode.length)
        columns["frame_index"][rows] = frames
        columns["timestamp"][rows] = frames / dataset.fps
        columns["episode_index"][rows] = episode.index
        columns["index"][rows] = episode.start + frames
        if "task_index" not in names:
            columns["task_index"][rows] = _known_task(dataset, episode)
    return columns


def _is_of_another_type(path: Path, name: str) -> bool:
    """Whether a column that is counted cannot hold the numbers: times as whole numbers, words or dates."""
    with open_parquet(path) as file:
        kinds = {field.name: field.type for field in file.schema_arrow}
    fits = pa.types.is_floating if name == "timestamp" else pa.types.is_integer
    return name in kinds and name != "task_index" and not fits(kinds[name])


def _check_order(dataset: LeRobotDataset, name: str, episodes: tuple[Episode, ...]) -> None:
    """Counting anew is right where the old numbers of a file grow, whatever they begin with and skip."""
    values = dataset.read_column(name, episodes)  # once: a file of v3.0 may hold thousands of episodes
    ends = np.cumsum([episode.length for episode in episodes])
    for episode, own in zip(episodes, np.split(values, ends[:-1])):
        where = f"{episode.parquet}: episode {episode.index}, column '{name}'"
        numbers = whole_numbers(own, where)
        if (np.diff(numbers) < 0).any() and len(set(numbers.tolist())) == len(numbers):
            row = int(np.argmax(np.diff(numbers) < 0)) + 1
            raise DatasetError(
                f"{where}, frame {row}: expected rows in the order of their numbers, got {numbers[row]} after "
                f"{numbers[row - 1]}; sort the rows first, or leave the episode out (--leave_out {episode.index})"
            )


def _known_task(dataset: LeRobotDataset, episode: Episode) -> int:
    """The number of the episode's only prompt."""
    numbers = {text: number for number, text in dataset.tasks.items()}
    prompts = episode.tasks if len(dataset.tasks) > 1 else tuple(numbers)
    if len(prompts) != 1 or prompts[0] not in numbers:
        raise DatasetError(
            f"{dataset.root}: episode {episode.index}: expected the column task_index, or one prompt in "
            f"{dataset.episodes_source}, got {list(prompts)}; say there what the robot does"
        )
    return numbers[prompts[0]]


def _write_info(dataset: LeRobotDataset, copy: Path) -> None:
    """Describes the columns that are new, as LeRobot does."""
    info = read_info(dataset.root)
    new = {name: {"dtype": "int64", "shape": [1], "names": None} for name in v21.INDEX_COLUMNS}
    new["timestamp"]["dtype"] = "float32"
    fitting = {"timestamp": "float"}
    old = {k: v for k, v in info["features"].items() if k not in new or v["dtype"].startswith(fitting.get(k, "int"))}
    info["features"] = {**old, **{name: feature for name, feature in new.items() if name not in old}}
    (copy / _INFO).parent.mkdir(parents=True, exist_ok=True)
    (copy / _INFO).write_text(json.dumps(info, ensure_ascii=False), encoding="utf-8")
