"""Low-rank adapters on the decoder's projections: a weight W becomes W + (alpha / rank) A B.

The adapters are leaves of the model's one tree, `lora/<name of W>/a` and `…/b`, so that checkpoints, optimiser and
placement treat them like any other leaf. `merge_lora` computes the sums, inside the compiled step in training and once
for good before weights are given away; the modules know nothing of it.

A leaf of the decoder is read as matrices of inputs × outputs. Independent projections in one leaf (key and value, gate
and up) have an adapter each, as they have where they are separate layers:

| leaf | its axes | matrices | inputs | outputs |
|---|---|---|---|---|
| `attn/q_einsum/w` | heads, width, dim | 1 | width | heads × dim |
| `attn/kv_einsum/w` | 2, kv heads, width, dim | 2 | width | kv heads × dim |
| `attn/attn_vec_einsum/w` | heads, dim, width | 1 | heads × dim | width |
| `mlp/gating_einsum` | 2, mlp_dim, width | 2 | width | mlp_dim |
| `mlp/linear` | mlp_dim, width | 1 | mlp_dim | width |

References:
    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685, section 4.1.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.models.settings import LoraConfig, adapted_leaves
from pistar_vf.typing import Float, Params, PRNGKeyArray

LORA = "lora/"
"""What the names of all adapters begin with."""

_AXES: dict[str, tuple[tuple[int, ...], ...]] = {
    "attn/q_einsum/w": ((), (1,), (0, 2)),
    "attn/kv_einsum/w": ((0,), (2,), (1, 3)),
    "attn/attn_vec_einsum/w": ((), (0, 1), (2,)),
    "mlp/gating_einsum": ((0,), (2,), (1,)),
    "mlp/linear": ((), (0,), (1,)),
}
"""End of a leaf's name to its axes: those that count matrices, inputs, outputs."""


def init_lora(key: PRNGKeyArray, shapes: Params, config: LoraConfig) -> Params:
    """Fresh adapters of a model: A normal with the variance of one over its inputs, B zero, so that nothing changes.

    Args:
        key: of the random numbers.
        shapes: flat dict of the model's leaves, or of their shapes.
        config: which leaves, and the rank.

    Returns:
        Flat dict of the adapters, float32.
    """
    adapters = {}
    for index, name in enumerate(adapted_leaves(shapes, config)):
        count, inputs, outputs = _matrix_shapes(shapes[name].shape, _axes(name))
        normal = jax.random.normal(jax.random.fold_in(key, index), (*count, inputs, config.rank), jnp.float32)
        adapters[f"{LORA}{name}/a"] = normal * inputs**-0.5
        adapters[f"{LORA}{name}/b"] = jnp.zeros((*count, config.rank, outputs), jnp.float32)
    return adapters


def merge_lora(flat: Params, config: LoraConfig, dropout_key: PRNGKeyArray | None = None) -> Params:
    """The plain weights that a model with adapters stands for.

    Args:
        flat: flat dict with adapters.
        config: the one they were made with.
        dropout_key: draws the hidden inputs in training; None hides none.

    Returns:
        Flat dict without adapters; adapted weights are float32, the others as they were.
    """
    plain = {name: leaf for name, leaf in flat.items() if not name.startswith(LORA)}
    for index, name in enumerate(adapted_leaves(plain, config)):
        a, b = jnp.asarray(flat[f"{LORA}{name}/a"]), jnp.asarray(flat[f"{LORA}{name}/b"])
        if dropout_key is not None and config.dropout > 0.0:
            a = _hide_inputs(jax.random.fold_in(dropout_key, index), a, config.dropout)
        update = _from_matrices(config.alpha / config.rank * (a @ b), plain[name].shape, _axes(name))
        plain[name] = plain[name].astype(jnp.float32) + update
    return plain


def _hide_inputs(key: PRNGKeyArray, a: Float[jax.Array, "*n inputs r"], rate: float) -> jax.Array:
    kept = jax.random.bernoulli(key, 1.0 - rate, (*a.shape[:-1], 1))
    return jnp.where(kept, a / (1.0 - rate), 0.0)


def _axes(name: str) -> tuple[tuple[int, ...], ...]:
    """Of a projection: the axes of its leaf that count matrices, are inputs, are outputs; empty for another leaf."""
    return next((axes for ending, axes in _AXES.items() if name.endswith("/" + ending)), ())


def _matrix_shapes(shape: tuple[int, ...], axes: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], int, int]:
    """(number of matrices as a shape, inputs, outputs)."""
    count, inputs, outputs = ([shape[axis] for axis in group] for group in axes)
    return tuple(count), math.prod(inputs), math.prod(outputs)


def _from_matrices(
    matrices: Float[jax.Array, "*n inputs outputs"], shape: tuple[int, ...], axes: tuple[tuple[int, ...], ...]
) -> jax.Array:
    """Matrices in the layout of their leaf."""
    order = [axis for group in axes for axis in group]
    return matrices.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
