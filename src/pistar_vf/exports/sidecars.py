"""Files beside a dataset's tables that other programs look labels up in.

| file | who reads it | what it says |
|---|---|---|
| `meta/advantages_<tag>.parquet`, `meta/mixture_config.yaml` | RLinf | a truth value for every (episode, frame) |
| `sarm_progress.parquet` | LeRobot's RA-BC | a progress whose gain over the policy's chunk is the label |
| `sample_weights.parquet` | LeRobot's static sample weights | 1 for positive frames, 0 for negative ones |
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.changes.staging import check_output, staged_folder
from pistar_vf.changes.transaction import Transaction
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.exports.indicator import NONE, POSITIVE
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.typing import Float, Int

RABC_GAIN = 0.02
"""Progress gained by a positive frame over one chunk: above 0.01, from which RA-BC counts a frame whole."""

SidecarFiles = Mapping[Path, pa.Table | str]
"""Path relative to the dataset to a table or a text."""


def rlinf_files(
    dataset: LeRobotDataset, indicator: Int[np.ndarray, " t"], tag: str, provenance: Mapping[str, Any]
) -> SidecarFiles:
    """What RLinf's guidance training reads: `advantage` for every frame; a frame of `none` counts as negative.

    Args:
        dataset: what was labelled.
        indicator: of every frame.
        tag: RLinf's `advantage_tag`.
        provenance: of the labels; their thresholds are shown where it holds some.
    """
    positive = indicator == POSITIVE
    facts: dict[str, Any] = {"positive_quantile": float(positive.mean())}
    thresholds = provenance.get("thresholds")
    if thresholds:
        facts |= {"unified_threshold": max(thresholds.values()), "thresholds_per_task": dict(thresholds)}
    config = {
        "global_return_min": -1.0,
        "global_return_max": 0.0,
        "datasets": [{"name": dataset.name, "weight": 1.0}],
        "tags": {tag: facts},
    }
    return {
        Path("meta", f"advantages_{tag}.parquet"): pa.table({**frame_places(dataset), "advantage": positive}),
        # JSON is YAML, and needs no library.
        Path("meta", "mixture_config.yaml"): json.dumps(config, indent=2, ensure_ascii=False) + "\n",
    }


def rabc_files(dataset: LeRobotDataset, indicator: Int[np.ndarray, " t"], chunk_size: int, source: str) -> SidecarFiles:
    """What LeRobot's RA-BC reads: weights become 1 on positive frames and 0 on negative ones.

    RA-BC weighs a frame by the progress gained over the policy's chunk: 1 above 0.01, 0 where progress is lost, and
    something between for a gain in [0, 0.01], which is where a flat progress of a failure would end up. So the progress
    written here rises by `RABC_GAIN` over the chunk of a positive frame and falls by as much over that of a negative
    one. Only an episode's last frame, which gains nothing, keeps a weight between.

    Args:
        dataset: what was labelled.
        indicator: of every frame.
        chunk_size: of the policy that will be trained.
        source: stored as `reward_model_path`.

    Raises:
        ConfigError: `chunk_size` is below 1.
        LabelError: a frame has no label.
    """
    if chunk_size < 1:
        raise ConfigError(f"chunk_size: expected the policy's chunk size, at least 1, got {chunk_size}")
    if (indicator == NONE).any():
        row = int(np.argmax(indicator == NONE))
        episode = dataset.episode_of(row)
        raise LabelError(
            f"{dataset.root}, episode {episode.index}, frame {row - episode.start}: expected a label in every frame, "
            "got 'none', for which RA-BC has no progress; label the whole dataset, or write sample weights instead"
        )
    gain = np.where(indicator == POSITIVE, RABC_GAIN, -RABC_GAIN)
    parts = [chunk_progress(gain[e.start : e.start + e.length], chunk_size) for e in dataset.episodes]
    table = pa.table({**_indexed(dataset), "progress_sparse": np.concatenate(parts).astype(np.float32)})
    return {Path("sarm_progress.parquet"): table.replace_schema_metadata({"reward_model_path": source})}


def weight_files(dataset: LeRobotDataset, indicator: Int[np.ndarray, " t"]) -> SidecarFiles:
    """What LeRobot's static sample weights read; frames of `none` are left out: LeRobot gives those a weight of 1."""
    labelled = indicator != NONE
    index = _indexed(dataset)["index"][labelled]
    weight = (indicator[labelled] == POSITIVE).astype(np.float32)
    return {Path("sample_weights.parquet"): pa.table({"index": index, "weight": weight})}


def chunk_progress(gain: Float[np.ndarray, " t"], chunk_size: int) -> Float[np.ndarray, " t"]:
    """The progress whose change over `chunk_size` frames, or up to the last frame, is `gain`; its minimum is 0.

    Args:
        gain: wanted change of every frame of an episode; that of the last frame cannot be had.
        chunk_size: frames.
    """
    last = len(gain) - 1
    progress = np.zeros(len(gain))
    for end in range(last, 0, -chunk_size):
        rows = np.arange(max(0, end - chunk_size), end)
        progress[rows] = progress[np.minimum(rows + chunk_size, last)] - gain[rows]
    return progress - progress.min()


def write_files(
    dataset: LeRobotDataset, files: SidecarFiles, output_dir: Path | None, provenance: Mapping[str, Any]
) -> tuple[Path, ...]:
    """Writes all of the files or none.

    Args:
        dataset: whose labels they are.
        files: relative to the dataset.
        output_dir: a new folder; None adds them to the dataset, where `pistar-vf undo` takes them away again.
        provenance: of the labels, for the journal of the change.

    Returns:
        Where they are.

    Raises:
        DatasetError: the folder is not new, or the dataset cannot be written to.
    """
    if output_dir is not None:
        check_output(dataset.root, output_dir)
        with staged_folder(output_dir) as staged:
            for path, content in files.items():
                _write(staged / path, content)
        return tuple(output_dir / path for path in files)
    with Transaction(dataset.root, "export", summary=provenance, progress=False) as transaction:
        for path, content in files.items():
            _write(transaction.stage(path), content)
        transaction.commit()
    return tuple(dataset.root / path for path in files)


def _write(path: Path, content: pa.Table | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        pq.write_table(content, path)


def frame_places(dataset: LeRobotDataset) -> dict[str, Int[np.ndarray, " t"]]:
    """`episode_index` and `frame_index` of every frame."""
    indices = np.array([episode.index for episode in dataset.episodes], np.int64)
    return {"episode_index": dataset.layout.spread(indices), "frame_index": dataset.layout.frame_index()}


def _indexed(dataset: LeRobotDataset) -> dict[str, Int[np.ndarray, " t"]]:
    """The same with LeRobot's number of every frame."""
    has_index = "index" in dataset.columns
    index = dataset.read_column("index") if has_index else np.arange(dataset.num_frames)
    return {"index": np.asarray(index, np.int64), **frame_places(dataset)}
