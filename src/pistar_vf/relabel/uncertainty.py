"""How sure the values are: what a predicted distribution says besides its mean, and how much models disagree."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.choices import Ensemble
from pistar_vf.typing import Float, Int

QUANTILES = (0.05, 0.5, 0.95)
_CHUNK = 4096  # frames at once: [4096, 201] float64 is 7 MB
_ROUNDING = 1e-6  # of a sum of probabilities


@runtime_checkable
class Distributions(Protocol):
    """Probabilities of every frame over the atoms, which may be on disk; rows are read as they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Int[np.ndarray, " n"], /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Spread:
    """Of every frame's predicted distribution.

    Attributes:
        std: standard deviation, units of V.
        quantiles: the atoms at `QUANTILES`.
    """

    std: Float[np.ndarray, " t"]
    quantiles: Float[np.ndarray, "t quantiles"]

    @classmethod
    def measure(cls, probs: Distributions, support: Support) -> "Spread":
        """A few thousand frames in memory at a time."""
        atoms = np.linspace(support.v_min, support.v_max, support.num_atoms)
        std, quantiles = np.empty(len(probs), np.float32), np.empty((len(probs), len(QUANTILES)), np.float32)
        for start in range(0, len(probs), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(probs)))
            own = np.asarray(probs[rows], np.float64)
            own /= own.sum(axis=1, keepdims=True)
            mean = own @ atoms
            std[rows] = np.sqrt(np.maximum(own @ atoms**2 - mean**2, 0.0))
            reached = np.cumsum(own, axis=1)
            for column, level in enumerate(QUANTILES):
                place = (reached < level - _ROUNDING).sum(axis=1)
                quantiles[rows, column] = atoms[np.minimum(place, support.num_atoms - 1)]
        return cls(std, quantiles)


class Mixture:
    """The mean of several models' distributions, computed for the rows that are asked for."""

    def __init__(self, members: Sequence[Distributions]):
        self._members = members

    def __len__(self) -> int:
        return len(self._members[0])

    def __getitem__(self, rows: Int[np.ndarray, " n"]) -> np.ndarray:
        return np.mean([np.asarray(member[rows], np.float32) for member in self._members], axis=0)


class Chosen:
    """For every frame the distribution of one of several models."""

    def __init__(self, members: Sequence[Distributions], number: Int[np.ndarray, " t"]):
        self._members, self._number = members, number

    def __len__(self) -> int:
        return len(self._number)

    def __getitem__(self, rows: Int[np.ndarray, " n"]) -> np.ndarray:
        every = np.stack([np.asarray(member[rows], np.float32) for member in self._members])
        return every[self._number[rows], np.arange(len(rows))]


@dataclasses.dataclass(frozen=True)
class Combined:
    """Values of several models as one.

    Attributes:
        value: of every frame.
        probs: the distributions whose means they are.
        disagreement: standard deviation of the models' values of every frame.
    """

    value: Float[np.ndarray, " t"]
    probs: Distributions
    disagreement: Float[np.ndarray, " t"]

    @classmethod
    def of(cls, values: Sequence[Float[np.ndarray, " t"]], probs: Sequence[Distributions], how: Ensemble) -> "Combined":
        """Combines models that all scored all frames.

        Args:
            values: V of every frame, of each model.
            probs: the distributions, of each model.
            how: "mean" mixes the distributions; "worst" takes, frame by frame, the model that expects least.
        """
        every = np.stack(values)
        spread = every.std(axis=0)
        if how == "mean":
            return cls(every.mean(axis=0, dtype=np.float32), Mixture(probs), spread)
        number = every.argmin(axis=0)
        return cls(every.min(axis=0), Chosen(probs, number), spread)


def disagreement_in_words(disagreement: Float[np.ndarray, " t"], num_models: int) -> str:
    """One line for a person.

    Args:
        disagreement: see `Combined`.
        num_models: by how many models each frame was scored.
    """
    doubtful = float(np.quantile(disagreement, 0.95))
    return (
        f"ensemble: {num_models} models for each frame; their values differ by {disagreement.mean():.3f} on average "
        f"(standard deviation), by {doubtful:.3f} or more in the most doubtful 5 % of frames"
    )
