"""Writes a labelled copy of a LeRobot v2.1 dataset; the source is only read.

Videos are hard-linked where the file system allows it, so that a copy costs seconds and almost no space.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from tqdm_loggable.auto import tqdm

from pistar_vf.data import lerobot_v21 as v21
from pistar_vf.data.labels import OLD_VALUE_COLUMN
from pistar_vf.data.lerobot import Episode, LeRobotDataset
from pistar_vf.errors import DatasetError, LabelError
from pistar_vf.returns import RECAP_COLUMNS, Outcome, recap_columns
from pistar_vf.typing import Shaped

_INFO = Path("meta", "info.json")
_STATS = Path("meta", "episodes_stats.jsonl")


def write_labelled_copy(
    dataset: LeRobotDataset,
    output_dir: str | Path,
    outcomes: Mapping[int, Outcome],
    *,
    intervention_column: str | None = None,
    timeout_as: Literal["success", "failure"] | None = None,
    overwrite_labels: bool = False,
    progress: bool = True,
) -> Path:
    """Copies a dataset and adds the five RECAP columns.

    The copy is made beside `output_dir` and renamed at the end: whatever stops the program leaves either nothing at
    `output_dir` or the whole dataset (a left-over `<output_dir>.partial-*` may be deleted).

    Args:
        dataset: a LeRobot v2.1 dataset.
        output_dir: a new or empty folder outside the dataset.
        outcomes: episode index to outcome, for every episode.
        intervention_column: column that is 1 where the operator was driving; None for `intervention` where the
            dataset has it, else nowhere.
        timeout_as: what a timeout counts as, see `returns.is_success`.
        overwrite_labels: replaces label columns that the dataset already has.
        progress: shows a progress bar on stderr.

    Returns:
        `output_dir`.

    Raises:
        DatasetError: `output_dir` is unsuitable, or the dataset is not v2.1.
        LabelError: labels exist already, an outcome is missing, or the interventions are not 0 and 1.
    """
    output_dir = Path(output_dir)
    _check_output(dataset.root, output_dir)
    _check_source(dataset, outcomes, intervention_column, overwrite_labels)
    intervention_column = intervention_column or ("intervention" if "intervention" in dataset.columns else None)
    flags = None if intervention_column is None else dataset.read_column(intervention_column)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    # mkdtemp gives a fresh folder, never somebody's symlink, even where process ids repeat.
    staging = Path(tempfile.mkdtemp(prefix=f"{output_dir.name}.partial-{os.getpid()}-", dir=output_dir.parent))
    try:
        copy = staging / "dataset"
        _copy_other_files(dataset, copy)
        stats = {}
        for episode in tqdm(dataset.episodes, desc="label", unit="episode", disable=not progress):
            rows = None if flags is None else flags[episode.start : episode.start + episode.length]
            columns = _label_episode(episode, outcomes[episode.index], rows, timeout_as)
            _write_table(episode.parquet, copy / _relative(dataset, episode), columns)
            stats[episode.index] = {name: v21.column_stats(v) for name, v in columns.items() if v.dtype.kind != "U"}
        _extend_info(dataset.root, copy)
        _extend_stats(dataset.root, copy, stats)
        os.rename(copy, output_dir)
    finally:
        shutil.rmtree(staging)
    return output_dir


def _check_output(root: Path, output_dir: Path) -> None:
    source, target = root.resolve(), output_dir.resolve()
    if output_dir.is_symlink():
        raise DatasetError(f"expected a new folder to write to, got the symlink {output_dir}; name a real folder")
    if source == target or source in target.parents:
        raise DatasetError(
            f"expected an output folder outside the dataset {root}, got {output_dir}; the source is never written to"
        )
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise DatasetError(f"expected a new or empty output folder, got {output_dir}, which exists; name another one")


def _check_source(
    dataset: LeRobotDataset, outcomes: Mapping[int, Outcome], intervention_column: str | None, overwrite: bool
) -> None:
    version = json.loads((dataset.root / _INFO).read_text(encoding="utf-8")).get("codebase_version")
    if version != v21.CODEBASE_VERSION:
        raise DatasetError(f"{dataset.root / _INFO}: expected a LeRobot v2.1 dataset to label, got version {version!r}")
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
            "pass overwrite_labels=True (--overwrite_labels) to replace them in the copy"
        )


def _relative(dataset: LeRobotDataset, episode: Episode) -> Path:
    return episode.parquet.relative_to(dataset.root)


def _copy_other_files(dataset: LeRobotDataset, copy: Path) -> None:
    """Everything but the files that are written anew; videos as hard links."""
    written = {_relative(dataset, episode) for episode in dataset.episodes} | {_INFO, _STATS}
    for path in _files(dataset.root):
        target = copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path not in written:
            _link_or_copy(dataset.root / path, target, link=path.parts[0] == "videos")


def _files(root: Path) -> Iterator[Path]:
    """Relative paths of all files; hidden folders (version control, download caches) are left behind."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name).relative_to(root) for name in sorted(files))


def _link_or_copy(source: Path, target: Path, link: bool) -> None:
    if link:
        try:
            os.link(os.path.realpath(source), target)  # the file itself: download caches keep symlinks to it
            return
        except OSError:
            pass  # another file system, or one without hard links
    shutil.copy2(source, target)


def _label_episode(
    episode: Episode, outcome: Outcome, flags: np.ndarray | None, timeout_as: Literal["success", "failure"] | None
) -> dict[str, Shaped[np.ndarray, " t"]]:
    try:
        return recap_columns(episode.length, outcome, flags, timeout_as=timeout_as)
    except LabelError as error:
        raise LabelError(f"episode {episode.index} ({episode.parquet}): {error}") from error


def _write_table(source: Path, target: Path, columns: Mapping[str, np.ndarray]) -> None:
    table = pq.ParquetFile(source).read()
    metadata = dict(table.schema.metadata or {})
    table = table.drop_columns([name for name in (*columns, OLD_VALUE_COLUMN) if name in table.column_names])
    for name, values in columns.items():
        table = table.append_column(name, v21.arrow_column(values))
    if b"huggingface" in metadata:
        metadata[b"huggingface"] = _extend_huggingface(metadata[b"huggingface"], columns)
    pq.write_table(table.replace_schema_metadata(metadata), target)


def _extend_huggingface(content: bytes, columns: Mapping[str, np.ndarray]) -> bytes:
    described: dict[str, Any] = json.loads(content)
    features = described.setdefault("info", {}).setdefault("features", {})
    features.pop(OLD_VALUE_COLUMN, None)
    for name, values in columns.items():
        features.pop(name, None)  # so that the order is the table's
        features[name] = v21.huggingface_feature(v21.feature_of(values))
    return json.dumps(described).encode()


def _extend_info(root: Path, copy: Path) -> None:
    info = json.loads((root / _INFO).read_text(encoding="utf-8"))
    info["features"].pop(OLD_VALUE_COLUMN, None)
    for name, values in recap_columns(1, Outcome.SUCCESS).items():
        info["features"].pop(name, None)
        info["features"][name] = v21.feature_of(values)
    v21.write_json(copy / _INFO, info)


def _extend_stats(root: Path, copy: Path, stats: Mapping[int, Mapping[str, Any]]) -> None:
    """Adds the new columns to the per-episode statistics, where the dataset keeps them."""
    if not (root / _STATS).is_file():
        return
    with (root / _STATS).open(encoding="utf-8") as source, (copy / _STATS).open("w", encoding="utf-8") as target:
        for text in source:
            line = json.loads(text)
            line["stats"].pop(OLD_VALUE_COLUMN, None)
            line["stats"] |= stats[line["episode_index"]]
            target.write(v21.json_line(line))
