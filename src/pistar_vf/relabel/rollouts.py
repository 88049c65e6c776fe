"""What relabelling knows of a dataset's frames besides their pictures."""

import dataclasses
import functools

import numpy as np

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """All frames of a dataset, episode after episode.

    Attributes:
        name: of the dataset, for messages.
        lengths: frames of each episode.
        outcomes: how each episode ended; None where nobody knows.
        tasks: the prompts.
        task: position of each frame's prompt in `tasks`.
        intervention: where the operator was driving.
        still: where the arm stands still.
        reward: in units of V.
        target: the value that each frame turned out to have; NaN where it did not turn out (time-outs, fragments).
        keeps_last_value: episodes past whose end V goes on as it was in the last frame; past the others it is 0.
    """

    name: str
    lengths: Int[np.ndarray, " e"]
    outcomes: tuple[Outcome | None, ...]
    tasks: tuple[str, ...]
    task: Int[np.ndarray, " t"]
    intervention: Bool[np.ndarray, " t"]
    still: Bool[np.ndarray, " t"]
    reward: Float[np.ndarray, " t"]
    target: Float[np.ndarray, " t"]
    keeps_last_value: Bool[np.ndarray, " e"]

    @functools.cached_property
    def layout(self) -> EpisodeLayout:
        """How the frames divide into episodes."""
        return EpisodeLayout(self.lengths)

    @functools.cached_property
    def episode(self) -> Int[np.ndarray, " t"]:
        """Position of each frame's episode."""
        return self.layout.numbers()

    @functools.cached_property
    def frame_index(self) -> Int[np.ndarray, " t"]:
        """Position of each frame in its episode."""
        return self.layout.frame_index()

    @property
    def driven(self) -> Bool[np.ndarray, " e"]:
        """Episodes in which the operator drove all the way."""
        return self.layout.all(self.intervention)

    @property
    def demonstration(self) -> Bool[np.ndarray, " t"]:
        """Frames of whole episodes in which the operator drove all the way; a fragment of that kind is a correction."""
        return self.layout.spread(self.driven & self.whole)

    @property
    def whole(self) -> Bool[np.ndarray, " e"]:
        """Episodes that are no fragments."""
        return ~self.outcome_is(Outcome.FRAGMENT)

    @property
    def autonomous(self) -> Bool[np.ndarray, " t"]:
        """Frames in which the policy acted."""
        return ~self.intervention

    @property
    def counted(self) -> Bool[np.ndarray, " t"]:
        """Those of them that thresholds, horizons and the gate's figures are measured on: not those of fragments."""
        return self.autonomous & self.layout.spread(self.whole)

    def outcome_is(self, outcome: Outcome | None) -> Bool[np.ndarray, " e"]:
        """Which episodes ended so."""
        return np.array([own is outcome for own in self.outcomes])

    def terminal_values(self, values: Float[np.ndarray, " t"]) -> Float[np.ndarray, " e"]:
        """The value past each episode's last frame."""
        return np.where(self.keeps_last_value, values[self.layout.last_frames], 0.0)

    def cost_past_end(self) -> Float[np.ndarray, " e"]:
        """What a step would cost past the end of each failure that ends at the bottom of the scale; 0 elsewhere.

        A failure with a smaller penalty is worth more towards its end, as fewer steps are left to pay for.
        """
        at_the_end = np.nan_to_num(self.target[self.layout.last_frames], nan=0.0)
        at_bottom = self.outcome_is(Outcome.FAILURE) & (at_the_end <= -1.0) & (self.lengths > 1)
        return np.where(at_bottom, -self.reward[self.layout.starts], 0.0)


def standing_still(
    state: Float[np.ndarray, "t s"], lengths: Int[np.ndarray, " e"], scale: Float[np.ndarray, " s"], tolerance: float
) -> Bool[np.ndarray, " t"]:
    """Frames into and out of which no component of the state moves.

    Args:
        state: raw robot state.
        lengths: frames of each episode.
        scale: standard deviation of each component.
        tolerance: largest change between neighbouring frames that counts as standing still, standard deviations.
    """
    moved = np.abs(np.diff(state, axis=0) / np.maximum(scale, 1e-8)).max(axis=1) > tolerance
    moved[EpisodeLayout(lengths).last_frames[:-1]] = False  # from one episode into the next is no movement
    return ~(np.append(moved, False) | np.insert(moved, 0, False))
