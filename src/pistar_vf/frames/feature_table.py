"""Frames as what frozen parts of a model made of them: pictures that never pass these parts again."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from pistar_vf.batch import ValueBatch
from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.lerobot.dataset import Episode
from pistar_vf.typing import Float, Shaped

Features: TypeAlias = Shaped[np.ndarray, "n tokens d"]
Hidden: TypeAlias = Float[np.ndarray, "n d"]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """One camera's pictures, as a tower must see them.

    Attributes:
        frames: pixels of all frames; only those of `used` are real.
        episodes: of the dataset.
        used: the episodes whose features are wanted.
        digest: of whatever decides the pixels.
    """

    frames: Shaped[np.ndarray, "n h w 3"]
    episodes: tuple[Episode, ...]
    used: tuple[Episode, ...]
    digest: str


class _InPlaceOfPictures:
    """What both tables of this module have in common.

    It is made before the model is there, and filled when the weights of its frozen parts are.

    Attributes:
        labels: value labels [n] float32.
        state_statistics: how the robot state is normalised, None for a model without state.
    """

    def __init__(self, table: FrameTable):
        self._table = dataclasses.replace(table, cameras={})

    @property
    def labels(self) -> np.ndarray:
        return self._table.labels

    @property
    def state_statistics(self) -> StateStatistics | None:
        return self._table.state_statistics


class FeatureTable(_InPlaceOfPictures):
    """A `FrameTable` whose pictures are replaced by their tokens; row numbers are the same.

    Args:
        table: labels, prompts and states; its pictures are read once, to make the features.
        pictures: model-side camera name to its pictures; cameras that the dataset lacks are left out.
        shape: (tokens, d) of one picture.
    """

    def __init__(self, table: FrameTable, pictures: Mapping[str, Pictures], shape: tuple[int, int]):
        super().__init__(table)
        self._cameras, self._pictures, self._shape = tuple(table.cameras), dict(pictures), shape
        self._features: dict[str, Features] | None = None

    def fill(self, features_of: Callable[[Pictures], Features]) -> None:
        """Puts features in the place of the pictures."""
        self._features = {name: features_of(pictures) for name, pictures in self._pictures.items()}

    def gather(self, rows: np.ndarray) -> ValueBatch:
        """The frames at `rows`; a row of -1 is padding and repeats frame 0 with `frame` = -1."""
        assert self._features is not None, "fill() comes first"
        real = np.maximum(rows, 0)
        batch = self._table.gather(rows)
        observation = batch.observation.replace(
            image_tokens={name: self._tokens(self._features.get(name), real) for name in self._cameras},
            image_masks={name: np.full(len(rows), name in self._features) for name in self._cameras},
        )
        return batch.replace(observation=observation)

    def _tokens(self, features: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        if features is None:
            return np.zeros((len(rows), *self._shape), np.float32)
        return np.asarray(features[rows])


@dataclasses.dataclass(frozen=True)
class WholeFrames:
    """Frames as a whole model must see them.

    Attributes:
        table: of them.
        episodes: of the dataset.
        used: the episodes whose frames are wanted.
        pictures: model-side camera name to a digest of whatever decides its pixels; without cameras that are missing.
    """

    table: FrameTable
    episodes: tuple[Episode, ...]
    used: tuple[Episode, ...]
    pictures: Mapping[str, str]


class HiddenTable(_InPlaceOfPictures):
    """A `FrameTable` of which only what the value head reads is left; row numbers are the same.

    Args:
        frames: read once, to make it.
    """

    def __init__(self, frames: WholeFrames):
        super().__init__(frames.table)
        self._frames = frames
        self._hidden: Hidden | None = None

    def fill(self, hidden_of: Callable[[WholeFrames], Hidden]) -> None:
        """Puts what the head reads in the place of everything that it is made of."""
        self._hidden = hidden_of(self._frames)

    def gather(self, rows: np.ndarray) -> ValueBatch:
        """The frames at `rows`; a row of -1 is padding and repeats frame 0 with `frame` = -1."""
        assert self._hidden is not None, "fill() comes first"
        batch = self._table.gather(rows)
        hidden = np.asarray(self._hidden[np.maximum(rows, 0)])
        return batch.replace(observation=batch.observation.replace(hidden=hidden))
