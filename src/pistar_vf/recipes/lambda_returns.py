"""Targets between what an episode came to and what the model expects: TD(λ), looked at again every so many steps."""

import dataclasses

import numpy as np
from jax.sharding import Mesh

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.frames.loader import Frames
from pistar_vf.inference.evaluate import Evaluator, FrameSample
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.returns import Normaliser, Outcome
from pistar_vf.returns.advantages import gae_advantages
from pistar_vf.typing import Float, Int, Params

MOST_FRAMES = 65_536
"""So many frames a look values at most; between them, V is taken to be straight."""
_APART = 4
"""Frames between two that a look values, where there are few enough."""


@dataclasses.dataclass(frozen=True)
class Ends:
    """How the training episodes ended, and what a step of them is worth.

    Attributes:
        tasks: the prompt of each.
        outcomes: of each.
        normaliser: of the targets.
    """

    tasks: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    normaliser: Normaliser

    def returns(
        self, value: Float[np.ndarray, " t"], lengths: Int[np.ndarray, " e"], decay: float
    ) -> Float[np.ndarray, " t"]:
        """λ-returns R_t = r_t + (1 - λ) V_{t+1} + λ R_{t+1} of all frames, in [-1, 0]; with λ = 1 the usual targets.

        Args:
            value: V of every frame.
            lengths: frames of each episode.
            decay: λ.
        """
        last = value[EpisodeLayout(lengths).last_frames]
        timed_out = np.array([outcome is Outcome.TIMEOUT for outcome in self.outcomes])
        reward = self.normaliser.rewards(lengths, self.tasks, self.outcomes, last)
        advantage = gae_advantages(reward, value, lengths, np.where(timed_out, last, 0.0), decay)
        return np.clip(value + advantage, -1.0, 0.0)


class LambdaReturns:
    """Keeps the targets of the training frames up to date; until the first look they are what they were.

    The return of one episode is a noisy sample of what a state is worth, above all where the same state led to success
    once and to failure another time. λ-returns average over the ways that other episodes went on from there, as far as
    the model knows them, and so see more of a difference between moments of one episode.

    Args:
        value_function: the model.
        table: frames of the training dataset; its labels are written.
        rows: the training frames.
        ends: of their episodes.
        decay: λ.
        batch_size: global batch size.
        mesh: the devices.
        num_workers: threads that gather frames.

    Attributes:
        values: V in force of the frames that a look values, float32; empty before the first look.

    References:
        Sutton & Barto, "Reinforcement Learning", second edition, section 12.1.
    """

    def __init__(
        self,
        value_function: ValueFunction,
        table: Frames,
        rows: EpisodeRows,
        ends: Ends,
        decay: float,
        *,
        batch_size: int,
        mesh: Mesh,
        num_workers: int,
    ):
        self._labels, self._rows, self._lengths = table.labels, rows.all(), rows.layout.lengths
        self._ends, self._decay, self._looked_at = ends, decay, frames_to_look_at(rows.layout)
        sample = FrameSample(self._rows[self._looked_at], rows.layout.numbers()[self._looked_at])
        self._evaluator = Evaluator(value_function, table, sample, batch_size, mesh, num_workers)
        self.values = np.zeros(0, np.float32)

    def look(self, ema: Params, frozen: Params) -> dict[str, float]:
        """Computes V and puts the targets that follow from it in force; says how far they are from the ones before."""
        before = self._labels[self._rows]
        self.use(self._evaluator.frames(ema, frozen)["value"])
        return {"target_change": float(np.abs(self._labels[self._rows] - before).mean())}

    def use(self, values: Float[np.ndarray, " s"]) -> None:
        """Puts values in force."""
        self.values = values
        value = np.interp(np.arange(len(self._rows)), self._looked_at, values)
        self._labels[self._rows] = self._ends.returns(value, self._lengths, self._decay)


def frames_to_look_at(layout: EpisodeLayout, at_most: int = MOST_FRAMES) -> Int[np.ndarray, " s"]:
    """Positions of every fourth frame, or of fewer, and of every episode's first and last one."""
    apart = max(_APART, -(-layout.num_frames // at_most))
    return np.flatnonzero((layout.frame_index() % apart == 0) | (layout.steps_left() == 0))
