"""Baselines that predict a distribution: the one of the training targets, over all frames or by frame index."""

from collections.abc import Sequence

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.typing import Float, Int

_WINDOWS = (0, 1, 2, 4, 8, 16, 32)


def constant_distribution(targets: Sequence[Float[np.ndarray, " _t"]], support: Support) -> Float[np.ndarray, " atoms"]:
    """How often each atom is the target in training, as if one more frame were spread evenly over all atoms.

    Args:
        targets: of each training episode.
        support: the atoms.
    """
    counts = np.full(support.num_atoms, 1 / support.num_atoms)
    for target in targets:
        for atom, weight in _atoms(target, support):
            np.add.at(counts, atom, weight)
    return counts / counts.sum()


def clock_distributions(
    targets: Sequence[Float[np.ndarray, " _t"]], prior: Float[np.ndarray, " atoms"], support: Support
) -> Float[np.ndarray, "t atoms"]:
    """How often each atom is the target at each frame index in training.

    Neighbouring frame indices are pooled, over the window that suits the other half of the episodes best when the
    counts are those of one half; and one frame of the constant's distribution is added. Past the last index that two
    episodes share, the clock stands still.

    Args:
        targets: of each training episode.
        prior: see `constant_distribution`.
        support: the atoms.

    Returns:
        One distribution per frame index; later frames have the last one.
    """
    window = 0
    if len(targets) > 1:
        half, other = targets[::2], targets[1::2]
        losses = [_mean_loss(_smoothed(half, prior, support, w), other, support) for w in _WINDOWS]
        window = _WINDOWS[int(np.argmin(losses))]
    return _smoothed(targets, prior, support, window)


def at_frames(
    distributions: Float[np.ndarray, "t atoms"], frame: Int[np.ndarray, " u"]
) -> Float[np.ndarray, "u atoms"]:
    """The clock's distributions at some frame indices."""
    return distributions[np.minimum(frame, len(distributions) - 1)]


def _smoothed(targets: Sequence[np.ndarray], prior: np.ndarray, support: Support, window: int) -> np.ndarray:
    """Counts of frames up to `window` away, plus the prior, as probabilities."""
    lengths = sorted(len(target) for target in targets)
    num_frames = lengths[-2] if len(lengths) > 1 else lengths[-1]
    counts = np.zeros((lengths[-1] + 1, support.num_atoms))  # row 0 stays empty
    for target in targets:
        frame = np.arange(len(target)) + 1
        for atom, weight in _atoms(target, support):
            np.add.at(counts, (frame, atom), weight)
    total = np.cumsum(counts, axis=0)
    frame = np.arange(num_frames)
    pooled = total[np.minimum(frame + window + 1, lengths[-1])] - total[np.maximum(frame - window, 0)]
    return (pooled + prior) / (pooled.sum(axis=1, keepdims=True) + 1)


def _mean_loss(distributions: np.ndarray, targets: Sequence[np.ndarray], support: Support) -> float:
    """Cross-entropy of the targets, mean over frames."""
    log = np.log(distributions)
    total = 0.0
    for target in targets:
        frame = np.minimum(np.arange(len(target)), len(log) - 1)
        total -= sum(float(weight @ log[frame, atom]) for atom, weight in _atoms(target, support))
    return total / sum(map(len, targets))


def _atoms(target: np.ndarray, support: Support) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The two atoms around each target and their weights, see `categorical.two_hot`."""
    last = support.num_atoms - 1
    position = np.clip((target.astype(np.float64) - support.v_min) / (support.v_max - support.v_min) * last, 0, last)
    lower = np.minimum(position.astype(np.int64), last - 1)
    above = position - lower
    return (lower, 1 - above), (lower + 1, above)
