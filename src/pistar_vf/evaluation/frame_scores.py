"""What is measured on every frame: of a predicted distribution, or of a single predicted value."""

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.categorical import Support, two_hot
from pistar_vf.metrics import frame_metrics
from pistar_vf.typing import Array, Float

FRAME_MEASURES = ("loss", "kl", "top1", "top5", "mae", "mse", "coverage_50", "coverage_90")
"""Measures that are means over frames."""
_OF_DISTRIBUTIONS = ("loss", "kl", "top1", "top5", "coverage_50", "coverage_90")
_ROUNDING = 1e-6  # of a float32 sum of probabilities
_CHUNK = 1024  # rows compiled for


def score_logits(
    logits: Float[Array, "b atoms"], target: Float[Array, " b"], support: Support
) -> dict[str, Float[Array, " b"]]:
    """Measures of predicted distributions; jit-able.

    Returns:
        `value`, and of `FRAME_MEASURES` all but the errors of the value: `loss` and `kl` in nats; 0 or 1 for `top1`,
        `top5` and for `coverage_50` and `coverage_90`, whether the atom nearest to the target lies in the central
        interval of that probability.
    """
    scores = frame_metrics(logits, target, support)
    probs = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    nearest = jnp.argmax(two_hot(target, support), axis=-1)[:, None]
    up_to = jnp.take_along_axis(jnp.cumsum(probs, axis=-1), nearest, axis=-1)[:, 0]
    below = up_to - jnp.take_along_axis(probs, nearest, axis=-1)[:, 0]
    for level in (50, 90):
        tail = (1 - level / 100) / 2
        # The quantiles of the two ends are atoms; the nearest atom is neither below the lower nor above the upper one.
        inside = (up_to >= tail - _ROUNDING) & (below < 1 - tail - _ROUNDING)
        scores[f"coverage_{level}"] = inside.astype(jnp.float32)
    scores["loss"] = scores.pop("cross_entropy")
    return scores


_score_chunk = jax.jit(score_logits, static_argnums=2)


def score_probs(
    probs: Float[np.ndarray, "t atoms"], target: Float[np.ndarray, " t"], support: Support
) -> dict[str, np.ndarray]:
    """`score_logits` of probabilities, none of them 0, a chunk of frames at a time."""
    parts = []
    for start in range(0, len(target), _CHUNK):
        rows = slice(start, start + _CHUNK)
        missing = _CHUNK - len(target[rows])
        logits = np.pad(np.log(probs[rows]).astype(np.float32), ((0, missing), (0, 0)))
        scores = _score_chunk(logits, np.pad(target[rows].astype(np.float32), (0, missing)), support)
        parts.append({name: np.asarray(score)[: _CHUNK - missing] for name, score in scores.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def score_values(value: Float[np.ndarray, " t"]) -> dict[str, np.ndarray]:
    """Measures of predicted values without a distribution: NaN for those that need one."""
    return {"value": value, **{name: np.full(len(value), np.nan) for name in _OF_DISTRIBUTIONS}}
