"""Multi-head attention in the parameter layout of Flax linen, shared by the vision tower and the fusion."""

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from pistar_vf.typing import Bool, DTypeLike, Float


class MultiHeadAttention(nnx.Module):
    """Dot-product attention with separate query, key, value and output projections, all with biases.

    Parameters are `{query,key,value}/kernel [d, heads, head_dim]` and `out/kernel [heads, head_dim, d]`, the layout
    of `flax.linen.MultiHeadDotProductAttention`, which the published checkpoints use.
    """

    def __init__(self, width: int, num_heads: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        heads = (num_heads, width // num_heads)
        init = {"kernel_init": nnx.initializers.xavier_uniform(), "dtype": dtype, "rngs": rngs}
        self.query = nnx.LinearGeneral(width, heads, **init)
        self.key = nnx.LinearGeneral(width, heads, **init)
        self.value = nnx.LinearGeneral(width, heads, **init)
        self.out = nnx.LinearGeneral(heads, width, axis=(-2, -1), **init)

    def __call__(
        self,
        queries: Float[jax.Array, "b q d"],
        keys: Float[jax.Array, "b k d"],
        valid_keys: Bool[jax.Array, "b k"] | None = None,
    ) -> Float[jax.Array, "b q d"]:
        """Attends from `queries` to the `keys` whose `valid_keys` is True (all of them when None)."""
        mask = None if valid_keys is None else valid_keys[:, None, None, :]
        attended = jax.nn.dot_product_attention(self.query(queries), self.key(keys), self.value(keys), mask=mask)
        if valid_keys is not None:
            # A softmax with every key masked is uniform over all of them: without a valid key, nothing is seen.
            attended = jnp.where(jnp.any(valid_keys, axis=1)[:, None, None, None], attended, 0.0)
        return self.out(attended)
