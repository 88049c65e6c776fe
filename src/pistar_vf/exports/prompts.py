"""The indicator as words of the prompt, so that a policy that reads prompts learns from it without a change.

Each frame's task becomes the text that a consumer would have built from the indicator itself; the tasks of the copy are
the prompts times the words that occur. The words and line breaks are the consumers' own:

| style | a positive frame's task | who reads it so |
|---|---|---|
| `comma` | `fold the shirt, Advantage: positive` | openpi's fork pistar (inside its "Task: …"), kai0 |
| `line` | `fold the shirt⏎Advantage: positive` | Evo-RL, RLinf's guidance prompts, recap-lerobot |
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.changes.staging import check_output, copy_other_files, staged_folder
from pistar_vf.choices import PromptStyle
from pistar_vf.errors import ConfigError
from pistar_vf.exports.indicator import NONE, WORDS
from pistar_vf.foreign_files import read_lines, read_text
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.dataset_stats import replace_stats, stats_files
from pistar_vf.lerobot.parquet import read_parquet_table
from pistar_vf.lerobot.rewrite import replace_columns
from pistar_vf.lerobot.tasks import write_tasks
from pistar_vf.typing import Int

_JOINTS: dict[str, str] = {"comma": ", ", "line": "\n"}
_TASK_COLUMN = "task_index"
_INFO = Path("meta", "info.json")


def prompt_with(prompt: str, word: str, style: PromptStyle) -> str:
    """A prompt that says the indicator."""
    return f"{prompt}{_JOINTS[style]}Advantage: {word}"


def drop_some(indicator: Int[np.ndarray, " t"], dropout: float, seed: int) -> Int[np.ndarray, " t"]:
    """The indicator with a share of its words taken away, as training does it in the paper (30 %).

    Raises:
        ConfigError: the share is not in [0, 1).
    """
    if not 0.0 <= dropout < 1.0:
        raise ConfigError(f"dropout: expected a share of at least 0 and below 1, got {dropout}")
    hidden = np.random.default_rng(seed).random(len(indicator)) < dropout
    return np.where(hidden, NONE, indicator)


def write_prompted_copy(
    dataset: LeRobotDataset, output_dir: Path, indicator: Int[np.ndarray, " t"], style: PromptStyle
) -> Path:
    """A copy of the dataset whose tasks say the indicator; videos are linked, the source is only read.

    Args:
        dataset: of v2.1 or v3.0.
        output_dir: a new or empty folder outside the dataset.
        indicator: of every frame; a frame of NONE keeps its prompt.
        style: the words around it.

    Returns:
        `output_dir`.

    Raises:
        DatasetError: `output_dir` is unsuitable.
    """
    check_output(dataset.root, output_dir)
    tasks, task_index = _prompted_tasks(dataset, indicator, style)
    own = {e.index: np.unique(task_index[e.start : e.start + e.length]) for e in dataset.episodes}
    stats = {
        e.index: {_TASK_COLUMN: v21.column_stats(task_index[e.start : e.start + e.length])} for e in dataset.episodes
    }
    with staged_folder(output_dir) as copy:
        _copy_others(dataset, copy)
        for path, episodes in dataset.files().items():
            rows = np.concatenate([task_index[e.start : e.start + e.length] for e in episodes])
            replace_columns(path, copy / path.relative_to(dataset.root), {_TASK_COLUMN: rows})
        write_tasks(dataset.version, copy, dict(enumerate(tasks)))
        replace_stats(dataset, copy, (_TASK_COLUMN,), stats)
        _write_episode_tasks(dataset, copy, {index: [tasks[i] for i in used] for index, used in own.items()})
        info = json.loads(read_text(dataset.root / _INFO))
        v21.write_json(copy / _INFO, info | {"total_tasks": len(tasks)})
    return output_dir


def _prompted_tasks(
    dataset: LeRobotDataset, indicator: np.ndarray, style: PromptStyle
) -> tuple[list[str], Int[np.ndarray, " t"]]:
    """The tasks of the copy, in the order of prompt and word, and each frame's."""
    pairs, inverse = np.unique(dataset.prompt_index() * len(WORDS) + indicator, return_inverse=True)
    texts = []
    for prompt, word in (divmod(int(pair), len(WORDS)) for pair in pairs):
        plain = dataset.prompts[prompt]
        texts.append(plain if word == NONE else prompt_with(plain, WORDS[word], style))
    return texts, inverse.astype(np.int64)


def _copy_others(dataset: LeRobotDataset, copy: Path) -> None:
    written = {path.relative_to(dataset.root) for path in (*dataset.files(), *stats_files(dataset))}
    tables = {Path(v21.TASKS_PATH), Path(v30.TASKS_PATH), Path(v21.EPISODES_META)}
    copy_other_files(dataset.root, copy, written | {_INFO} | tables)


def _write_episode_tasks(dataset: LeRobotDataset, copy: Path, tasks: Mapping[int, Sequence[str]]) -> None:
    """The list of tasks that the metadata of every episode holds."""
    if dataset.version == v30.CODEBASE_VERSION:
        for path in v30.episode_files(copy):
            table = read_parquet_table(path)
            own = pa.array([list(tasks[index]) for index in table["episode_index"].to_pylist()], pa.list_(pa.string()))
            at = table.column_names.index("tasks") if "tasks" in table.column_names else None
            table = table.append_column("tasks", own) if at is None else table.set_column(at, "tasks", own)
            pq.write_table(table, path)
        return
    with (copy / v21.EPISODES_META).open("w", encoding="utf-8") as file:
        for line in read_lines(dataset.root / v21.EPISODES_META):
            if line.strip():
                file.write(v21.json_line(_with_tasks(json.loads(line), tasks)))


def _with_tasks(entry: dict[str, Any], tasks: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    return entry | {"tasks": list(tasks[int(entry["episode_index"])])}
