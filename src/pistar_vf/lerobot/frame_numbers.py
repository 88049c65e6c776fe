"""One number or one flag per frame, however a recorder stores it: bool, unsigned, float, or lists of one."""

import numpy as np
from jaxtyping import Float  # not from pistar_vf.typing: decoding processes must not import JAX

from pistar_vf.errors import DatasetError

INTERVENTION_COLUMN = "intervention"


def is_number_per_frame(values: np.ndarray) -> bool:
    """Whether a column holds one number (or flag) per frame."""
    return values.dtype.kind in "biuf" and values.size == len(values)


def frame_numbers(values: np.ndarray, where: str) -> Float[np.ndarray, " t"]:
    """A column of one number per frame as float32, an array of its own.

    Args:
        values: as `LeRobotDataset.read_column` returns them.
        where: what errors call the column.

    Raises:
        DatasetError: it holds something else.
    """
    if not is_number_per_frame(values):
        raise DatasetError(f"{where}: expected one number per frame, got {values.dtype} of shape {values.shape}")
    return values.reshape(-1).astype(np.float32)
