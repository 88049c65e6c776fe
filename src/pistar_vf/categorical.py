"""The mathematics of a categorical value distribution on a fixed support.

Everything here is a pure function on arrays whose last axis is `atoms`. Two-hot targets are built in
index space, so no small constant is ever needed in a denominator and no probability can be negative.

References:
    Bellemare et al., "A Distributional Perspective on Reinforcement Learning", arXiv 1707.06887, section 4.
    Physical Intelligence, "π*0.6", arXiv 2511.14759, section IV-A (201 bins, cross-entropy, read-out).
"""

import dataclasses

import jax
import jax.numpy as jnp

from pistar_vf.errors import ConfigError
from pistar_vf.typing import Array, Float


@dataclasses.dataclass(frozen=True)
class Support:
    """Evenly spaced atoms, `v_min` and `v_max` included.

    Attributes:
        v_min: value of the first atom, normalised return.
        v_max: value of the last atom.
        num_atoms: number of atoms.
    """

    v_min: float = -1.0
    v_max: float = 0.0
    num_atoms: int = 201

    def __post_init__(self) -> None:
        if not self.v_min < self.v_max:
            raise ConfigError(f"support: expected v_min < v_max, got v_min={self.v_min}, v_max={self.v_max}")
        if self.num_atoms < 2:
            raise ConfigError(f"support: expected num_atoms >= 2, got {self.num_atoms}")

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """The atoms' values, float32."""
        return jnp.linspace(self.v_min, self.v_max, self.num_atoms, dtype=jnp.float32)

    @property
    def spacing(self) -> float:
        """Distance between neighbouring atoms."""
        return (self.v_max - self.v_min) / (self.num_atoms - 1)


def one_hot(value: Float[Array, "*b"], support: Support) -> Float[Array, "*b atoms"]:
    """All probability on the atom nearest to each value, clipped to the support; float32, NaN for NaN."""
    last = support.num_atoms - 1
    position = (jnp.asarray(value, jnp.float32) - support.v_min) * (last / (support.v_max - support.v_min))
    nearest = jnp.clip(jnp.round(position), min=0, max=last).astype(jnp.int32)
    # A cast would turn NaN into the lowest atom: an unknown target into a failure.
    return jnp.where(jnp.isnan(position)[..., None], jnp.nan, jax.nn.one_hot(nearest, support.num_atoms))


def two_hot(value: Float[Array, "*b"], support: Support) -> Float[Array, "*b atoms"]:
    """Spreads each value over its two neighbouring atoms so that the mean is the value.

    Values outside the support are clipped to it; NaN gives NaN.

    Args:
        value: normalised returns.
        support: the atoms.

    Returns:
        Probabilities, float32: at most two non-zero, neighbours, summing to one.
    """
    last = support.num_atoms - 1
    position = (jnp.asarray(value, jnp.float32) - support.v_min) * (last / (support.v_max - support.v_min))
    position = jnp.clip(position, min=0.0, max=float(last))
    lower = jnp.floor(position)
    weight_above = (position - lower)[..., None]
    lower = lower.astype(jnp.int32)[..., None]
    index = jnp.broadcast_to(jnp.arange(support.num_atoms), (*position.shape, support.num_atoms))
    probs = jnp.where(index == lower, 1.0 - weight_above, 0.0) + jnp.where(index == lower + 1, weight_above, 0.0)
    return jnp.where(jnp.isnan(position)[..., None], jnp.nan, probs)


def expected_value(logits: Float[Array, "*b atoms"], support: Support) -> Float[Array, "*b"]:
    """V = sum_i softmax(logits)_i * z_i, in float32."""
    probs = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    return probs @ support.atoms


def cross_entropy(logits: Float[Array, "*b atoms"], target: Float[Array, "*b atoms"]) -> Float[Array, "*b"]:
    """-sum_i target_i * log softmax(logits)_i, in float32, nats."""
    return -jnp.sum(target * jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1), axis=-1)


def entropy(probs: Float[Array, "*b atoms"]) -> Float[Array, "*b"]:
    """-sum_i p_i * log p_i in nats, with 0 * log 0 = 0."""
    return -jnp.sum(jax.scipy.special.xlogy(probs, probs), axis=-1)
