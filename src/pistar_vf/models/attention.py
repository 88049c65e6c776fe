"""Multi-head attention in the parameter layout of Flax linen, shared by the vision tower and the fusion."""

from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from pistar_vf.models.on_gpu import attend
from pistar_vf.typing import Bool, DTypeLike, Float


class MultiHeadAttention(nnx.Module):
    """Dot-product attention with separate query, key, value and output projections, all with biases.

    Parameters are `{query,key,value}/kernel [d, heads, head_dim]` and `out/kernel [heads, head_dim, d]`, the layout
    of `flax.linen.MultiHeadDotProductAttention`, which the published checkpoints use.
    """

    def __init__(self, width: int, num_heads: int, *, dtype: DTypeLike, rngs: nnx.Rngs, wide_softmax: bool = True):
        """Args as of the layers inside; `wide_softmax=False` keeps the softmax in `dtype`, as Flax linen has it."""
        heads = (num_heads, width // num_heads)
        init: dict[str, Any] = {"kernel_init": nnx.initializers.xavier_uniform(), "dtype": dtype, "rngs": rngs}
        self.query = nnx.LinearGeneral(width, heads, **init)
        self.key = nnx.LinearGeneral(width, heads, **init)
        self.value = nnx.LinearGeneral(width, heads, **init)
        self.out = nnx.LinearGeneral(heads, width, axis=(-2, -1), **init)
        self.wide_softmax = wide_softmax

    def __call__(
        self,
        queries: Float[jax.Array, "b q d"],
        keys: Float[jax.Array, "b k d"],
        valid_keys: Bool[jax.Array, "b k"] | None = None,
    ) -> Float[jax.Array, "b q d"]:
        """Attends from `queries` to the `keys` whose `valid_keys` is True (all of them when None)."""
        mask = None if valid_keys is None else valid_keys[:, None, None, :]
        one_way = attend if self.wide_softmax else _narrow_attention
        attended = one_way(self.query(queries), self.key(keys), self.value(keys), mask=mask)
        if valid_keys is not None:
            # A softmax with every key masked is uniform over all of them: without a valid key, nothing is seen.
            attended = jnp.where(jnp.any(valid_keys, axis=1)[:, None, None, None], attended, 0.0)
        return self.out(attended)


def _narrow_attention(
    query: Float[jax.Array, "b q n h"],
    key: Float[jax.Array, "b k n h"],
    value: Float[jax.Array, "b k n h"],
    mask: Bool[jax.Array, "b 1 1 k"] | None,
) -> Float[jax.Array, "b q n h"]:
    """Attention whose every step is in the dtype of `query`, in the order of Flax linen, so that bfloat16 agrees."""
    scaled = query / jnp.sqrt(query.shape[-1]).astype(query.dtype)
    scores = jnp.einsum("bqnh,bknh->bnqk", scaled, key)
    weights = jax.nn.softmax(scores if mask is None else jnp.where(mask, scores, jnp.finfo(scores.dtype).min))
    return jnp.einsum("bnqk,bknh->bqnh", weights, value)
