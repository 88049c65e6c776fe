"""Frames of whole episodes one after the other: where each episode is, and what holds over it."""

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int, Int32, Shaped  # not from pistar_vf.typing: decoding must not import JAX


def evenly_spread(count: int, at_most: int) -> Int[np.ndarray, " n"]:
    """At most so many of the positions from 0 to `count` - 1, evenly spread, the first and the last among them."""
    return np.linspace(0, count - 1, min(count, at_most)).round().astype(np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodeLayout:
    """How an array of frames divides into episodes.

    Attributes:
        lengths: frames of each episode, at least 1.
    """

    lengths: Int[np.ndarray, " e"]

    @classmethod
    def of(cls, lengths: Iterable[int]) -> "EpisodeLayout":
        """From any numbers, none too."""
        return cls(np.fromiter(lengths, np.int64))

    @functools.cached_property
    def ends(self) -> Int[np.ndarray, " e"]:
        """The frame past each episode's last one."""
        return np.cumsum(self.lengths)

    @property
    def starts(self) -> Int[np.ndarray, " e"]:
        """The first frame of each episode."""
        return self.ends - self.lengths

    @property
    def last_frames(self) -> Int[np.ndarray, " e"]:
        """The last frame of each episode."""
        return self.ends - 1

    @property
    def num_frames(self) -> int:
        """Of all episodes."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def numbers(self) -> Int32[np.ndarray, " t"]:
        """For every frame, which episode it belongs to, counted from 0."""
        return self.spread(np.arange(len(self.lengths), dtype=np.int32))

    def frame_index(self) -> Int[np.ndarray, " t"]:
        """For every frame, its position in its episode, counted from 0."""
        return np.arange(self.num_frames) - self.spread(self.starts)

    def steps_left(self) -> Int[np.ndarray, " t"]:
        """For every frame, how many follow in its episode: 0 in the last."""
        return self.spread(self.last_frames) - np.arange(self.num_frames)

    def spread(self, numbers: Shaped[np.ndarray, " e"]) -> Shaped[np.ndarray, " t"]:
        """One number of each episode, for each of its frames."""
        return np.repeat(numbers, self.lengths)

    def moment(self, part: float) -> Int[np.ndarray, " e"]:
        """The frame of each episode that is nearest to a part of it: 0 the first, 1 the last."""
        return self.starts + np.round(part * (self.lengths - 1)).astype(np.int64)

    def split(self, values: Shaped[np.ndarray, "t ..."]) -> list[Shaped[np.ndarray, "_ ..."]]:
        """The part of each episode."""
        return np.split(values, self.ends[:-1]) if len(self.ends) else []

    def sum(self, values: Shaped[np.ndarray, "t ..."]) -> Shaped[np.ndarray, "e ..."]:
        """Over each episode."""
        return self._reduce(np.add, values)

    def mean(self, values: Shaped[np.ndarray, " t"]) -> Float[np.ndarray, " e"]:
        """Over each episode, in float64."""
        return self.sum(values.astype(np.float64)) / self.lengths

    def max(self, values: Shaped[np.ndarray, "t ..."]) -> Shaped[np.ndarray, "e ..."]:
        """Over each episode."""
        return self._reduce(np.maximum, values)

    def all(self, flags: Bool[np.ndarray, " t"]) -> Bool[np.ndarray, " e"]:
        """Whether all frames of an episode are true."""
        return self._reduce(np.logical_and, flags)

    def any(self, flags: Bool[np.ndarray, " t"]) -> Bool[np.ndarray, " e"]:
        """Whether some frame of an episode is true."""
        return self._reduce(np.logical_or, flags)

    def _reduce(self, operation: np.ufunc, values: np.ndarray) -> np.ndarray:
        return operation.reduceat(values, self.starts, axis=0) if len(self.lengths) else values[:0]
