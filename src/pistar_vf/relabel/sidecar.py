"""Labels as files beside the tables, for programs that look them up by episode and frame."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.categorical import Support
from pistar_vf.changes.staging import check_output, staged_folder
from pistar_vf.changes.transaction import Transaction
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.relabel.label import Labels
from pistar_vf.relabel.uncertainty import QUANTILES, Spread
from pistar_vf.relabel.values import ValueTable
from pistar_vf.relabel.write import PROVENANCE, NewWords, encode_provenance


def write_sidecar(
    dataset: LeRobotDataset,
    words: NewWords,
    labels: Labels,
    values: np.ndarray,
    provenance: Mapping[str, Any],
    folder: Path | None,
    tag: str,
    extra: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> tuple[Path, ...]:
    """Files beside the tables, for programs that look labels up by episode and frame.

    `meta/advantages_<tag>.parquet` is what RLinf reads: episode_index, frame_index, advantage (bool) and
    advantage_continuous; value, label and the extra columns are added. `sarm_progress.parquet` is what LeRobot's RA-BC
    reads: index, episode_index, frame_index and progress_sparse in [0, 1], here 1 + V.

    Args:
        dataset: what was labelled.
        words: its indicators.
        labels: for the advantages.
        values: V of every frame.
        provenance: stored in both files.
        folder: a new folder to write to; None to add them to the dataset, undoably.
        tag: part of the name of RLinf's file.
        extra: more columns of RLinf's file, a number for every frame.

    Returns:
        The files, relative to the folder or the dataset.
    """
    tables = {
        Path("meta", f"advantages_{tag}.parquet"): _advantage_table(dataset, words, labels, values, extra),
        Path("sarm_progress.parquet"): _progress_table(dataset, values),
    }
    metadata = {PROVENANCE: encode_provenance(provenance)}
    if folder is not None:
        check_output(dataset.root, folder)
    with contextlib.ExitStack() as stack:
        transaction = None
        if folder is None:
            transaction = stack.enter_context(
                Transaction(dataset.root, "relabel, sidecar", summary=provenance, progress=False)
            )
        else:
            staging = stack.enter_context(staged_folder(folder))
        for path, table in tables.items():
            target = transaction.stage(path) if transaction else staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.replace_schema_metadata(metadata), target)
        if transaction:
            transaction.commit()
    return tuple(tables)


def doubts(values: ValueTable, labels: Labels, support: Support) -> dict[str, np.ndarray]:
    """Columns of a sidecar that say how sure its values and labels are."""
    spread = Spread.measure(values.probs, support)
    columns = {"value_std": spread.std}
    columns |= {f"value_q{round(100 * level):02d}": spread.quantiles[:, i] for i, level in enumerate(QUANTILES)}
    if labels.chance is not None:
        columns["positive_chance"] = labels.chance.astype(np.float32)
    if values.disagreement is not None:
        columns["value_disagreement"] = values.disagreement.astype(np.float32)
    return columns


def _advantage_table(
    dataset: LeRobotDataset, words: NewWords, labels: Labels, values: np.ndarray, extra: Mapping[str, np.ndarray]
) -> pa.Table:
    return pa.table(
        {
            **_places(dataset),
            "advantage": words.after == "positive",
            "advantage_continuous": labels.advantage.astype(np.float32),
            "value": values,
            "label": words.after.tolist(),
            **extra,
        }
    )


def _progress_table(dataset: LeRobotDataset, values: np.ndarray) -> pa.Table:
    index = dataset.read_column("index") if "index" in dataset.columns else np.arange(dataset.num_frames)
    progress = np.clip(1.0 + values, 0.0, 1.0).astype(np.float32)
    return pa.table({"index": index.astype(np.int64), **_places(dataset), "progress_sparse": progress})


def _places(dataset: LeRobotDataset) -> dict[str, np.ndarray]:
    indices = np.array([episode.index for episode in dataset.episodes])
    return {"episode_index": dataset.layout.spread(indices), "frame_index": dataset.layout.frame_index()}
