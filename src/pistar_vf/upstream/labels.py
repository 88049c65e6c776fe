"""Upstream's labels, exactly: `--compat upstream`.

The algorithm of pistar-world's `scripts/label_advantage_from_vlm.py` at eaa92ca, with what is questionable about it:
the value past the end is 0 whatever the rewards say, one threshold serves all tasks, and a tie with it is positive.
Its sums are in float32, and so are ours, because a frame at the threshold depends on the last bit.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.typing import Bool, Float, Int


def upstream_labels(
    values: Float[np.ndarray, " t"],
    rewards: Float[np.ndarray, " t"],
    lengths: Int[np.ndarray, " e"],
    *,
    intervention: Bool[np.ndarray, " t"],
    demonstration: Bool[np.ndarray, " t"],
    lookahead: int,
    top_percent: float,
) -> tuple[Bool[np.ndarray, " t"], Float[np.ndarray, " t"], float]:
    """Which frames are positive; demonstrations are in no threshold, and the caller leaves their labels alone.

    Args:
        values: V of every frame, float32.
        rewards: the dataset's own column, float32.
        lengths: frames of every episode.
        intervention: frames in which the operator drove.
        demonstration: frames of episodes that consist of interventions only.
        lookahead: N, frames.
        top_percent: share of autonomous frames that becomes positive.

    Returns:
        (positive, advantage, threshold).
    """
    layout = EpisodeLayout(lengths)
    pairs = zip(layout.split(values), layout.split(rewards))
    advantage = np.concatenate([_advantages(value, reward, lookahead) for value, reward in pairs])
    pool = ~intervention & ~demonstration
    threshold = np.percentile(advantage[pool], 100.0 - top_percent) if pool.any() else np.float32(np.inf)
    return intervention | (advantage >= np.float32(threshold)), advantage, float(threshold)


def _advantages(values: np.ndarray, rewards: np.ndarray, lookahead: int) -> np.ndarray:
    """float32: sums in float32, the rest in float64."""
    num_whole = max(0, len(values) - lookahead)
    sums, future = np.empty(len(values)), np.zeros(len(values))
    if num_whole:
        sums[:num_whole] = sliding_window_view(rewards, lookahead)[:num_whole].sum(axis=-1)
        future[:num_whole] = values[lookahead:]
    sums[num_whole:] = [rewards[t:].sum() for t in range(num_whole, len(values))]
    return (sums + future - values).astype(np.float32)
