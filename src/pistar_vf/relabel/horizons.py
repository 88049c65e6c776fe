"""How far an advantage looks: to the next takeover or the end of its episode; and what steps past these cost."""

import dataclasses
import logging
import math

import numpy as np

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.relabel.config import DEFAULT_LOOKAHEAD, RelabelConfig
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.typing import Bool, Float, Int

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Horizons:
    """A dataset cut into stretches that no advantage looks beyond; one after the other they are all of its frames.

    A stretch ends with its episode or where an operator takes over: what the operator does from there on is no merit
    of the policy, so V of the first frame under the operator stands for the rest. That V knows of corrections: how well
    episodes with one ended is how it was learned. So the steps that the policy was no longer trusted with are paid for.

    Attributes:
        lengths: frames of each stretch.
        episode: position of each stretch's episode.
        taken_over: stretches after which an operator drives.
        cost: what every step past the end of a stretch costs: before a takeover what the policy's last step cost. A
            failure that is worth the bottom of the scale at its end is worth as much before, and its steps cost all the
            same. Were these steps free, the last frames would look better than those before them: V may fall there no
            more, and a short horizon is cheap.
    """

    lengths: Int[np.ndarray, " s"]
    episode: Int[np.ndarray, " s"]
    taken_over: Bool[np.ndarray, " s"]
    cost: Float[np.ndarray, " s"]

    @classmethod
    def of(cls, rollouts: Rollouts) -> "Horizons":
        """The stretches of a dataset."""
        begins = takeovers(rollouts)
        begins[rollouts.layout.starts] = True
        first = np.flatnonzero(begins)
        lengths = np.diff(np.append(first, len(begins)))
        episode = rollouts.episode[first]
        last_of_episode = np.append(episode[1:] != episode[:-1], True)
        last_step = np.maximum(-rollouts.reward[EpisodeLayout(lengths).last_frames], 0.0)
        cost = np.where(last_of_episode, rollouts.cost_past_end()[episode], last_step)
        return cls(lengths, episode, ~last_of_episode, cost)

    @property
    def layout(self) -> EpisodeLayout:
        """Where each stretch is among the frames."""
        return EpisodeLayout(self.lengths)

    def terminal_values(self, values: Float[np.ndarray, " t"], rollouts: Rollouts) -> Float[np.ndarray, " s"]:
        """The value past the last frame of each stretch."""
        following = values[np.minimum(self.layout.ends, len(values) - 1)]
        return np.where(self.taken_over, following, rollouts.terminal_values(values)[self.episode])

    def steps_paid(self) -> Int[np.ndarray, " t"]:
        """Steps from each frame to the end of its stretch that rewards pay for.

        The last reward of an episode is its ending's, so the step that it stands in for is still to be paid.
        """
        return self.layout.steps_left() + self.layout.spread(self.taken_over)


def default_lookahead(rollouts: Rollouts) -> int:
    """50 frames, or a fifth, rounded up, of the median whole episode in which the policy acted where that is less.

    With a longer horizon most frames of short episodes see the true end, and labels hardly depend on V.
    """
    acted = np.bincount(rollouts.episode, weights=rollouts.counted) > 0
    lengths = rollouts.lengths[acted] if acted.any() else rollouts.lengths
    return min(DEFAULT_LOOKAHEAD, math.ceil(np.median(lengths) / 5))


def choose_lookahead(config: RelabelConfig, rollouts: Rollouts, fps: float) -> int:
    """N in frames; it is printed in seconds, too."""
    if config.lookahead_seconds is not None:
        lookahead = max(1, round(config.lookahead_seconds * fps))
    elif config.lookahead is not None:
        lookahead = config.lookahead
    else:
        lookahead = DEFAULT_LOOKAHEAD if config.compat == "upstream" else default_lookahead(rollouts)
        if lookahead < DEFAULT_LOOKAHEAD and config.compat == "none":
            _log.info(
                "N is %d frames, a fifth of the median episode, as it is shorter than %d frames; --lookahead decides "
                "otherwise",
                lookahead,
                5 * DEFAULT_LOOKAHEAD,
            )
    print(f"lookahead: N = {lookahead} frames = {lookahead / fps:.2f} s at {fps:g} fps")
    return lookahead


def takeovers(rollouts: Rollouts) -> Bool[np.ndarray, " t"]:
    """The first frame under the operator after frames of the policy in the same episode."""
    before = np.append(False, rollouts.autonomous[:-1])
    return rollouts.intervention & before & (rollouts.frame_index > 0)
