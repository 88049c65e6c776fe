"""P(A > threshold) from the predicted distributions, for the abstain band."""

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.relabel.uncertainty import Distributions
from pistar_vf.typing import Float, Int

_CHUNK = 4096  # frames at once: [4096, 201] float64 is 7 MB
_ROUNDING = 1e-4  # atoms; a difference on an atom counts as equal, whatever rounding made of it


def chance_above(
    probs: Distributions,
    support: Support,
    rewards: Float[np.ndarray, " t"],
    lengths: Int[np.ndarray, " e"],
    terminal: Float[np.ndarray, " e"],
    num_steps: int,
    threshold: Float[np.ndarray, " t"],
) -> Float[np.ndarray, " t"]:
    """P(R + Z' - Z > ε) with independent Z ~ p_t and Z' ~ p_{t+N}; past the last frame Z' is `terminal`.

    Args:
        probs: predicted probabilities of every frame; may be a memory map, read in chunks.
        support: the atoms.
        rewards: in units of V; R is their sum over the next N frames.
        lengths: frames of each episode.
        terminal: value past each episode's last frame.
        num_steps: N, frames.
        threshold: ε of every frame; NaN where there is none, which has no probability either.
    """
    known = np.isfinite(threshold)
    threshold = np.where(known, threshold, 0.0)
    layout = EpisodeLayout(lengths)
    end, past_end = layout.spread(layout.ends), layout.spread(terminal)
    total = np.concatenate([[0.0], np.cumsum(rewards, dtype=np.float64)])
    found = np.empty(len(probs))
    for start in range(0, len(probs), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(probs)))
        ahead = np.minimum(rows + num_steps, end[rows])
        shift = (total[ahead] - total[rows] - threshold[rows]) / support.spacing
        below = np.cumsum(np.asarray(probs[rows], np.float64), axis=1)
        below = np.pad(below / below[:, -1:], ((0, 0), (1, 0)))  # [c, atoms + 1]: P(Z < atom i)
        inside = ahead < end[rows]
        future = np.asarray(probs[np.minimum(ahead, len(probs) - 1)], np.float64)
        atom = np.arange(support.num_atoms)[None]
        chance = np.take_along_axis(below, _count(atom + shift[:, None], support), axis=1)
        bootstrapped = (future * chance).sum(axis=1) / future.sum(axis=1)
        at_end = (past_end[rows] - support.v_min) / support.spacing + shift
        certain = np.take_along_axis(below, _count(at_end[:, None], support), axis=1)[:, 0]
        found[rows] = np.where(inside, bootstrapped, certain)
    return np.where(known, found, np.nan)


def _count(position: np.ndarray, support: Support) -> np.ndarray:
    """Number of atoms strictly below a position given in units of atoms."""
    return np.clip(np.ceil(position - _ROUNDING), 0, support.num_atoms).astype(np.int64)
