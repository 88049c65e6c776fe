"""Advantages of recorded frames from their values: N-step, Monte-Carlo and GAE.

All episodes at once: `rewards` and `values` hold the frames of every episode one after the other, `lengths` says how
many belong to each, and `terminal` is the value past each episode's last frame. No discount, as in the paper.

References:
    Physical Intelligence, "π*0.6", arXiv 2511.14759, appendix F (N-step and Monte-Carlo).
    Schulman et al., "High-dimensional continuous control using GAE", arXiv 1506.02438, section 3.
"""

import numpy as np
from scipy.signal import lfilter

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.typing import Float, Int


def n_step_advantages(
    rewards: Float[np.ndarray, " t"],
    values: Float[np.ndarray, " t"],
    lengths: Int[np.ndarray, " e"],
    terminal: Float[np.ndarray, " e"],
    num_steps: int,
) -> Float[np.ndarray, " t"]:
    """A_t = r_t + … + r_{t+N-1} + V_{t+N} - V_t; rewards end, and `terminal` stands for V, past the last frame.

    Args:
        rewards: in units of V.
        values: V of every frame.
        lengths: frames of each episode, at least 1 each.
        terminal: value past the last frame of each episode.
        num_steps: N, at least 1, frames.

    Returns:
        float64, computed from sums in float64.
    """
    layout = EpisodeLayout(lengths)
    end = layout.spread(layout.ends)
    ahead = np.minimum(np.arange(len(values)) + num_steps, end)
    total = np.concatenate([[0.0], np.cumsum(rewards, dtype=np.float64)])
    inside = ahead < end
    future = np.where(inside, values[np.minimum(ahead, len(values) - 1)].astype(np.float64), layout.spread(terminal))
    return total[ahead] - total[:-1] + future - values


def monte_carlo_advantages(
    rewards: Float[np.ndarray, " t"],
    values: Float[np.ndarray, " t"],
    lengths: Int[np.ndarray, " e"],
    terminal: Float[np.ndarray, " e"],
) -> Float[np.ndarray, " t"]:
    """A_t = r_t + … + r_{T-1} + terminal - V_t: the return that was observed, against the one expected."""
    return n_step_advantages(rewards, values, lengths, terminal, int(lengths.max()))


def gae_advantages(
    rewards: Float[np.ndarray, " t"],
    values: Float[np.ndarray, " t"],
    lengths: Int[np.ndarray, " e"],
    terminal: Float[np.ndarray, " e"],
    decay: float,
) -> Float[np.ndarray, " t"]:
    """A_t = δ_t + λ A_{t+1} with δ_t = r_t + V_{t+1} - V_t.

    Args:
        rewards: as in `n_step_advantages`; so are `values`, `lengths` and `terminal`.
        decay: λ in [0, 1]; 0 gives the one-step advantage, 1 the Monte-Carlo one.

    Returns:
        float64.
    """
    errors = n_step_advantages(rewards, values, lengths, terminal, 1)
    parts = EpisodeLayout(lengths).split(errors)
    return np.concatenate([lfilter([1.0], [1.0, -decay], part[::-1])[::-1] for part in parts])
