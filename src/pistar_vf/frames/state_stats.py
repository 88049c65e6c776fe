"""Normalisation of the robot state, with statistics that belong to a checkpoint, never to the data at hand."""

import dataclasses

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.typing import Array, Float

_CLIP = 5.0
_RELATIVE_FLOOR = 1e-3


@dataclasses.dataclass(frozen=True)
class StateStatistics:
    """Per-component mean and standard deviation of the training episodes' states.

    Attributes:
        key: the dataset's column.
        mean: one number per component.
        std: one number per component, > 0.
    """

    key: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def dim(self) -> int:
        """Number of components."""
        return len(self.mean)

    @classmethod
    def measure(cls, key: str, state: Float[np.ndarray, "t s"]) -> "StateStatistics":
        """Statistics of all given frames.

        Raises:
            DatasetError: a value is NaN or infinite.
        """
        bad = ~np.isfinite(state)
        if bad.any():
            frame, component = np.argwhere(bad)[0]
            raise DatasetError(
                f"column '{key}', frame {frame}, component {component}: expected a finite number, "
                f"got {state[frame, component]}; repair or drop that episode"
            )
        wide = state.astype(np.float64)
        std = wide.std(axis=0)
        # A component that never moves would be divided by (almost) zero and turn noise into signal; one that counts in
        # thousands (an encoder far from its zero) would saturate if it were not divided at all.
        floor = _RELATIVE_FLOOR * np.maximum(np.abs(wide).max(axis=0), 1e-6)
        std = np.where(std < floor, np.maximum(floor, 1.0), std)
        return cls(key=key, mean=tuple(wide.mean(axis=0).tolist()), std=tuple(std.tolist()))

    def normalise(self, state: Float[Array, "*b s"]) -> Float[np.ndarray, "*b s"]:
        """(state - mean) / std, clipped to ±5 so that one wild reading cannot dominate; float32.

        Raises:
            DatasetError: the state has another number of components, or one that is not a finite number.
        """
        if state.shape[-1] != self.dim:
            raise DatasetError(
                f"state '{self.key}': expected {self.dim} components as in training, got {state.shape[-1]}"
            )
        bad = ~np.isfinite(np.asarray(state))
        if bad.any():
            *row, component = np.argwhere(bad)[0].tolist()
            raise DatasetError(
                f"state '{self.key}', row {row[0] if row else 0}, component {component}: expected a finite number, got "
                f"{np.asarray(state)[bad][0]}; the value of such a frame means nothing"
            )
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled = (np.asarray(state, np.float32) - mean) / std
        return np.clip(scaled, -_CLIP, _CLIP).astype(np.float32)
