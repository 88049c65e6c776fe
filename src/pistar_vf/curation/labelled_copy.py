"""Writes a labelled copy of a LeRobot dataset; the source is only read.

Videos are hard-linked where the file system allows it, so that a copy costs seconds and almost no space.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.changes.staging import check_output, copy_other_files, staged_folder
from pistar_vf.choices import TimeoutAs
from pistar_vf.errors import DatasetError, LabelError
from pistar_vf.foreign_files import read_text
from pistar_vf.labels.targets import episode_tasks
from pistar_vf.labels.value_labels import OLD_VALUE_COLUMN
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.dataset_stats import replace_stats, stats_files
from pistar_vf.lerobot.rewrite import replace_columns
from pistar_vf.progress import progress_bar
from pistar_vf.returns import RECAP_COLUMNS, Normaliser, Outcome, recap_columns
from pistar_vf.typing import Shaped

_INFO = Path("meta", "info.json")


def write_labelled_copy(
    dataset: LeRobotDataset,
    output_dir: str | Path,
    outcomes: Mapping[int, Outcome | str],
    *,
    intervention_column: str | None = None,
    timeout_as: TimeoutAs | None = None,
    convention: str = "recap",
    normaliser: Normaliser | None = None,
    overwrite_labels: bool = False,
    progress: bool = True,
) -> Path:
    """Copies a dataset and adds the five RECAP columns.

    The copy is made beside `output_dir` and renamed at the end: whatever stops the program leaves either nothing at
    `output_dir` or the whole dataset (a left-over `<output_dir>.partial-*` may be deleted).

    Args:
        dataset: of v2.1 or v3.0.
        output_dir: a new or empty folder outside the dataset.
        outcomes: episode index to outcome, an `Outcome` or its word, for every episode.
        intervention_column: column that is 1 where the operator was driving; None for `intervention` where the
            dataset has it, else nowhere.
        timeout_as: what a timeout counts as, see `returns.outcome.counted_outcome`.
        convention: whose columns to write, see `returns.recap_columns`.
        normaliser: writes its targets and rewards instead.
        overwrite_labels: replaces label columns that the dataset already has.
        progress: shows a progress bar on stderr.

    Returns:
        `output_dir`.

    Raises:
        DatasetError: `output_dir` is unsuitable, or the dataset is v2.0.
        LabelError: labels exist already, an outcome is missing, or the interventions are not 0 and 1.
    """
    output_dir = Path(output_dir)
    check_output(dataset.root, output_dir)
    _check_source(dataset, outcomes, intervention_column, overwrite_labels)
    intervention_column = intervention_column or ("intervention" if "intervention" in dataset.columns else None)
    flags = None if intervention_column is None else dataset.read_column(intervention_column)
    rule = partial(recap_columns, timeout_as=timeout_as, convention=convention, normaliser=normaliser)
    tasks = ("",) * len(dataset.episodes) if normaliser is None else episode_tasks(dataset)
    given = {e.index: _Given(outcomes[e.index], _own(flags, e), task) for e, task in zip(dataset.episodes, tasks)}
    with staged_folder(output_dir) as copy:
        written = {path.relative_to(dataset.root) for path in (*dataset.files(), *stats_files(dataset))}
        copy_other_files(dataset.root, copy, written | {_INFO})
        stats: dict[int, dict[str, dict[str, Any]]] = {}
        with progress_bar(total=len(dataset.episodes), desc="label", unit=" episodes", disable=not progress) as bar:
            for path, episodes in dataset.files().items():
                parts = {episode.index: _label_episode(episode, rule, given[episode.index]) for episode in episodes}
                _write_table(path, copy / path.relative_to(dataset.root), list(parts.values()))
                stats |= {index: _stats_of(part) for index, part in parts.items()}
                bar.update(len(episodes))
        _extend_info(dataset.root, copy)
        replace_stats(dataset, copy, (*RECAP_COLUMNS, OLD_VALUE_COLUMN), stats)
    return output_dir


@dataclasses.dataclass(frozen=True)
class _Given:
    """What an episode's labels follow from: how it ended, where the operator drove, and its task."""

    outcome: Outcome | str
    flags: np.ndarray | None
    task: str


def _own(flags: np.ndarray | None, episode: Episode) -> np.ndarray | None:
    return None if flags is None else flags[episode.start : episode.start + episode.length]


def _check_source(
    dataset: LeRobotDataset, outcomes: Mapping[int, Outcome | str], intervention_column: str | None, overwrite: bool
) -> None:
    if dataset.version not in (v21.CODEBASE_VERSION, v30.CODEBASE_VERSION):
        raise DatasetError(
            f"{dataset.root / _INFO}: expected a LeRobot v2.1 or v3.0 dataset to label, got version {dataset.version}"
        )
    if missing := [e.index for e in dataset.episodes if e.index not in outcomes]:
        raise LabelError(f"{dataset.root}: expected an outcome for every episode, got none for episodes {missing[:10]}")
    if intervention_column is not None and intervention_column not in dataset.columns:
        raise LabelError(
            f"expected the intervention column '{intervention_column}' in {dataset.root}, "
            f"got {sorted(dataset.columns)}; name one of them, or none if no operator took over"
        )
    replaced = {*RECAP_COLUMNS, OLD_VALUE_COLUMN} & set(dataset.columns)
    if intervention_column in (None, "intervention"):
        replaced -= {"intervention"}  # it is the input here
    if replaced and not overwrite:
        raise LabelError(
            f"expected a dataset without labels, got the columns {sorted(replaced)} in {dataset.root}; "
            "pass --overwrite_labels to replace them in the copy"
        )


def _label_episode(
    episode: Episode, rule: Callable[..., dict[str, np.ndarray]], given: _Given
) -> dict[str, Shaped[np.ndarray, " t"]]:
    try:
        return rule(episode.length, given.outcome, given.flags, task=given.task)
    except LabelError as error:
        raise LabelError(f"episode {episode.index} ({episode.parquet}): {error}") from error


def _write_table(source: Path, target: Path, parts: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Columns that exist are dropped: they may be of another type than RECAP's."""
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    replace_columns(source, target, columns, drop=(*columns, OLD_VALUE_COLUMN))


def _stats_of(columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Not of words, nor of the empty values of a time-out: NaN is not JSON."""
    numbers = {name: own for name, own in columns.items() if own.dtype.kind != "U"}
    return {name: v21.column_stats(own) for name, own in numbers.items() if np.isfinite(own).all()}


def _extend_info(root: Path, copy: Path) -> None:
    info = json.loads(read_text(root / _INFO))
    info["features"].pop(OLD_VALUE_COLUMN, None)
    for name, values in recap_columns(1, Outcome.SUCCESS).items():
        info["features"].pop(name, None)
        info["features"][name] = v21.feature_of(values)
    v21.write_json(copy / _INFO, info)
