"""How sure a figure is: bootstrap intervals over episodes, the units that are independent of each other."""

import numpy as np

from pistar_vf.typing import Float

_CHUNK = 200  # resamples at once


def bootstrap_interval(
    per_episode: Float[np.ndarray, " e"], *, level: float = 0.95, num_resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over episodes.

    Args:
        per_episode: one figure per episode.
        level: of confidence, in (0, 1).
        num_resamples: draws with replacement.
        seed: of the draws.

    Returns:
        (low, high); (NaN, NaN) for fewer than two episodes.

    References:
        Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    if len(per_episode) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = [
        per_episode[rng.integers(0, len(per_episode), (_CHUNK, len(per_episode)))].mean(axis=1)
        for _ in range(-(-num_resamples // _CHUNK))
    ]
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(np.concatenate(means), [tail, 1.0 - tail])
    return float(low), float(high)
