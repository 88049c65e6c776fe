"""What a dataset, or a file beside it, says of every frame without any model."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pistar_vf.errors import DatasetError, LabelError
from pistar_vf.labels.value_labels import find_value_column, read_numbers
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.relabel.write import label_provenance, read_provenance
from pistar_vf.report.episodes import WORDS, FrameLabels
from pistar_vf.typing import Bool, Float, Shaped

INDICATOR, INTERVENTION = "adv_ind", "intervention"
_SIDECARS = "meta/advantages_*.parquet"


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Of all frames of a dataset.

    Attributes:
        intervention: where the operator was driving.
        target: the value labels; None without any.
        value: V as it was when the labels were made; None where nobody wrote it down.
        word: the labels; None without any.
        advantage: likewise.
        provenance: what made the labels; {} where they do not say.
        source: where the labels are from, in words.
    """

    intervention: Bool[np.ndarray, " t"]
    target: Float[np.ndarray, " t"] | None
    value: Float[np.ndarray, " t"] | None = None
    word: Shaped[np.ndarray, " t"] | None = None
    advantage: Float[np.ndarray, " t"] | None = None
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    source: str = ""

    def labels_of(self, own: slice, prompt: str) -> FrameLabels | None:
        """Those of one episode."""
        if self.word is None:
            return None
        numbers = {word: number for number, word in enumerate(WORDS)}
        threshold = self.provenance.get("thresholds", {}).get(prompt)
        length = own.stop - own.start
        return FrameLabels(
            word=np.array([numbers.get(word, 0) for word in self.word[own]]),
            reason=np.zeros(length, np.int64),
            reasons=(f"so says {self.source}",),
            advantage=np.full(length, np.nan) if self.advantage is None else self.advantage[own],
            threshold=None if threshold is None or self.advantage is None else np.full(length, float(threshold)),
        )


def read_recorded(dataset: LeRobotDataset, labels: Path | None) -> Recorded:
    """The dataset's own columns, with other labels where some are named.

    Args:
        dataset: whose frames they are.
        labels: a relabelled copy of it, or a sidecar; None for the labels of the dataset itself.

    Raises:
        LabelError: there are no such labels, or they are those of other frames.
        DatasetError: a column cannot be read.
    """
    own = Recorded(_intervention(dataset), _target(dataset))
    if labels is None:
        there = INDICATOR in dataset.columns
        return _of_dataset(own, dataset, f"the dataset's column {INDICATOR}") if there else own
    if labels.suffix == ".parquet":
        return _of_sidecar(own, dataset, labels)
    sidecars = sorted(labels.glob(_SIDECARS))
    if sidecars:
        return _of_sidecar(own, dataset, sidecars[0])
    other = load_lerobot(labels)
    if [(e.index, e.length) for e in other.episodes] != [(e.index, e.length) for e in dataset.episodes]:
        raise LabelError(f"--labels {labels}: expected the episodes of {dataset.root}, got others; name a copy of it")
    if INDICATOR not in other.columns:
        raise LabelError(
            f"--labels {labels}: expected the column '{INDICATOR}', got none; run `pistar-vf relabel` first"
        )
    return _of_dataset(own, other, f"{other.name}, column {INDICATOR}")


def _intervention(dataset: LeRobotDataset) -> np.ndarray:
    if INTERVENTION not in dataset.columns:
        return np.zeros(dataset.num_frames, bool)
    return read_numbers(dataset, INTERVENTION) == 1


def _target(dataset: LeRobotDataset) -> np.ndarray | None:
    column = find_value_column(dataset)
    return read_numbers(dataset, column) if column in dataset.columns else None


def _of_dataset(own: Recorded, dataset: LeRobotDataset, source: str) -> Recorded:
    word = dataset.read_column(INDICATOR)
    return dataclasses.replace(own, word=word, provenance=label_provenance(dataset), source=source)


def _of_sidecar(own: Recorded, dataset: LeRobotDataset, path: Path) -> Recorded:
    try:
        table = pq.read_table(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: expected a sidecar of `pistar-vf relabel`, it cannot be read: {error}") from error
    names = ("episode_index", "frame_index", "label", "value", "advantage_continuous")
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise LabelError(
            f"{path}: expected a sidecar of `pistar-vf relabel`, it lacks the columns {', '.join(missing)}"
        )
    episode, frame, word, value, advantage = (table[name].to_numpy() for name in names)
    indices = dataset.layout.spread(np.array([e.index for e in dataset.episodes]))
    if not (np.array_equal(episode, indices) and np.array_equal(frame, dataset.layout.frame_index())):
        raise LabelError(f"{path}: expected a row for every frame of {dataset.root}, in its order, got other frames")
    return dataclasses.replace(
        own,
        value=value,
        word=word,
        advantage=advantage,
        provenance=read_provenance(table.schema.metadata or {}, path),
        source=f"the sidecar {path.name}",
    )
