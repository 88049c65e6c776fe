"""The indicator of every frame of a labelled dataset, as numbers."""

import numpy as np

from pistar_vf.errors import LabelError
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.typing import Int

WORDS = ("none", "negative", "positive")
"""What a code stands for; `none` says nothing about the frame."""
NONE, NEGATIVE, POSITIVE = range(3)


def read_indicator(dataset: LeRobotDataset, column: str = "adv_ind") -> Int[np.ndarray, " t"]:
    """NONE, NEGATIVE or POSITIVE for every frame.

    Raises:
        LabelError: there is no such column, it holds other words, or nothing in it is a label yet.
    """
    if column not in dataset.columns:
        raise LabelError(
            f"{dataset.root}: expected the column '{column}', got {', '.join(dataset.columns)}; label the dataset with "
            "`pistar-vf relabel` first"
        )
    present, inverse = np.unique(dataset.read_column(column).astype(str), return_inverse=True)
    unknown = [str(word) for word in present if word not in WORDS]
    if unknown:
        raise LabelError(f"{dataset.root}: column '{column}': expected {', '.join(WORDS)}, got {unknown[:5]}")
    codes = np.array([WORDS.index(word) for word in present], np.int64)[inverse]
    if not (codes != NONE).any():
        raise LabelError(
            f"{dataset.root}: column '{column}' says 'none' in every frame; label the dataset with `pistar-vf relabel`"
        )
    return codes
