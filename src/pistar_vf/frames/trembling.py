"""The same frames as a camera that trembles, under a light that flickers, would show them."""

import dataclasses

import numpy as np

from pistar_vf.batch import ValueBatch
from pistar_vf.frames.loader import Frames
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.typing import UInt8

SHIFT = 0.02
"""Farthest shift, as a share of the picture's side; one pixel at least."""
BRIGHTNESS = 0.05
"""Largest change of brightness, as a share of it."""


@dataclasses.dataclass(frozen=True)
class TremblingFrames:
    """Frames whose pictures are moved and lit a little differently, each by itself and always the same way.

    Attributes:
        frames: as they are.
    """

    frames: Frames

    @property
    def labels(self) -> np.ndarray:
        """Value labels [n] float32."""
        return self.frames.labels

    @property
    def state_statistics(self) -> StateStatistics | None:
        """How the robot state is normalised, None for a model without state."""
        return self.frames.state_statistics

    def gather(self, rows: np.ndarray) -> ValueBatch:
        """The frames at `rows`; -1 is padding."""
        batch = self.frames.gather(rows)
        images = {
            name: np.stack([tremble(picture, (int(row) + 1, number)) for picture, row in zip(pictures, rows)])
            for number, (name, pictures) in enumerate(sorted(batch.observation.images.items()))
        }
        return batch.replace(observation=batch.observation.replace(images=images))


def tremble(picture: UInt8[np.ndarray, "h w 3"], seed: tuple[int, ...]) -> UInt8[np.ndarray, "h w 3"]:
    """One picture, shifted by up to `SHIFT` (its edge repeated) and brightened or darkened by up to `BRIGHTNESS`.

    Args:
        picture: RGB.
        seed: the same numbers give the same picture.
    """
    rng = np.random.default_rng(seed)
    farthest = max(1, round(SHIFT * min(picture.shape[:2])))
    down, right = rng.integers(-farthest, farthest + 1, size=2)
    rows = np.clip(np.arange(picture.shape[0]) + down, 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(picture.shape[1]) + right, 0, picture.shape[1] - 1)
    light = 1.0 + rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    return np.clip(np.rint(light * picture[rows[:, None], columns]), 0, 255).astype(np.uint8)
