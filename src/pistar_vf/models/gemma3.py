"""The Gemma 3 decoder, run on embeddings, causal or bidirectional.

Attribute names are those of Google's `gemma` package, so that the parameter tree is the checkpoint's tree.

References:
    Gemma Team, "Gemma 3 Technical Report", arXiv 2503.19786, section 2 (5 local layers to 1 global, window,
    RoPE bases, query/key norm).
    Su et al., "RoFormer", arXiv 2104.09864 (rotary position embedding).
"""

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from pistar_vf.models.on_gpu import attend
from pistar_vf.models.sizes import GEMMA_VARIANTS, Gemma3Config
from pistar_vf.typing import Bool, DTypeLike, Float, Int

VARIANTS = GEMMA_VARIANTS


def rope_angles(positions: Int[jax.Array, "n l"], head_dim: int, base: float) -> Float[jax.Array, "n l half"]:
    """Rotation angles of each position, radians, float32; `n` is 1 for positions that all rows share."""
    exponent = jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim
    return positions.astype(jnp.float32)[:, :, None] / (base**exponent)[None, None, :]


def apply_rope(x: Float[jax.Array, "b l heads dim"], angles: Float[jax.Array, "n l half"]) -> jax.Array:
    """Rotates the pairs (i, i + dim/2) of every head by its position's angles; computed in float32."""
    sin, cos = jnp.sin(angles)[:, :, None, :], jnp.cos(angles)[:, :, None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x.dtype)


def attention_mask(
    valid: Bool[jax.Array, "b l"], positions: Int[jax.Array, "n l"], *, bidirectional: bool, window: int | None
) -> Bool[jax.Array, "b 1 l l"]:
    """Which key each query may see.

    Args:
        valid: False on padding, which nobody sees.
        positions: of the tokens; distances are differences of them.
        bidirectional: whether a query sees keys to its right.
        window: keys at this distance or farther are hidden; None hides none.
    """
    offset = positions[:, None, :] - positions[:, :, None]
    allowed = jnp.ones_like(offset, dtype=bool) if bidirectional else offset <= 0
    if window is not None:
        allowed = allowed & (jnp.abs(offset) < window)
    return allowed[:, None] & valid[:, None, None, :]


class RMSNorm(nnx.Module):
    """x / rms(x) * (1 + scale), computed in float32."""

    def __init__(self, width: int):
        self.scale = nnx.Param(jnp.zeros((width,), jnp.float32))

    def __call__(self, x: Float[jax.Array, "*b d"]) -> Float[jax.Array, "*b d"]:
        wide = x.astype(jnp.float32)
        normed = wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + 1e-6)
        scale = self.scale[...].reshape((1,) * (x.ndim - 1) + (-1,))
        return (normed * (1.0 + scale)).astype(x.dtype)


class Einsum(nnx.Module):
    """One weight `w`, applied by an equation."""

    def __init__(self, shape: tuple[int, ...], *, in_axis: int | tuple[int, ...], rngs: nnx.Rngs):
        self.w = nnx.Param(_fan_in(rngs, shape, in_axis))

    def __call__(self, equation: str, x: jax.Array) -> jax.Array:
        return jnp.einsum(equation, x, self.w[...].astype(x.dtype))


def _fan_in(rngs: nnx.Rngs, shape: tuple[int, ...], in_axis: int | tuple[int, ...]) -> jax.Array:
    """Normal weights with the variance of one over the number of inputs."""
    axes = in_axis if isinstance(in_axis, tuple) else (in_axis,)
    fan = 1
    for axis in axes:
        fan *= shape[axis]
    return nnx.initializers.normal(stddev=fan**-0.5)(rngs.params(), shape, jnp.float32)


class Attention(nnx.Module):
    """Grouped-query attention with normalised, rotated queries and keys."""

    def __init__(self, config: Gemma3Config, *, rngs: nnx.Rngs):
        heads, kv, width, dim = config.num_heads, config.num_kv_heads, config.width, config.head_dim
        self.q_einsum = Einsum((heads, width, dim), in_axis=1, rngs=rngs)
        self.kv_einsum = Einsum((2, kv, width, dim), in_axis=2, rngs=rngs)
        self.attn_vec_einsum = Einsum((heads, dim, width), in_axis=(0, 1), rngs=rngs)
        self._query_norm = RMSNorm(dim)
        self._key_norm = RMSNorm(dim)

    def __call__(self, x: jax.Array, angles: jax.Array, mask: jax.Array) -> jax.Array:
        query = self._query_norm(self.q_einsum("btd,ndh->btnh", x))
        key, value = self.kv_einsum("bsd,ckdh->cbskh", x)
        query, key = apply_rope(query, angles), apply_rope(self._key_norm(key), angles)
        attended = attend(query, key, value, mask)
        return self.attn_vec_einsum("btnh,nhd->btd", attended)


class FeedForward(nnx.Module):
    """gelu(gate) * up, then down."""

    def __init__(self, config: Gemma3Config, *, rngs: nnx.Rngs):
        self.gating_einsum = nnx.Param(_fan_in(rngs, (2, config.mlp_dim, config.width), 2))
        self.linear = nnx.Param(_fan_in(rngs, (config.mlp_dim, config.width), 0))

    def __call__(self, x: jax.Array) -> jax.Array:
        gating = self.gating_einsum[...].astype(x.dtype)
        gate, up = jnp.einsum("btd,fd->btf", x, gating[0]), jnp.einsum("btd,fd->btf", x, gating[1])
        return (jax.nn.gelu(gate, approximate=True) * up) @ self.linear[...].astype(x.dtype)


class Block(nnx.Module):
    def __init__(self, config: Gemma3Config, *, rngs: nnx.Rngs):
        self.pre_attention_norm = RMSNorm(config.width)
        self.attn = Attention(config, rngs=rngs)
        self.post_attention_norm = RMSNorm(config.width)
        self.pre_ffw_norm = RMSNorm(config.width)
        self.mlp = FeedForward(config, rngs=rngs)
        self.post_ffw_norm = RMSNorm(config.width)

    def __call__(self, x: jax.Array, angles: jax.Array, mask: jax.Array) -> jax.Array:
        x = x + self.post_attention_norm(self.attn(self.pre_attention_norm(x), angles, mask))
        return x + self.post_ffw_norm(self.mlp(self.pre_ffw_norm(x)))


_EMBEDDING_RMS = 3.0
"""Size of a randomly initialised token, after scaling. A value model never trains the table: a token that starts at
the size of one block's output (1) is drowned by the blocks, one much larger drowns what the cross-attention adds."""


class Embedder(nnx.Module):
    """Token ids to vectors, scaled by the square root of the width."""

    def __init__(self, config: Gemma3Config, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(stddev=_EMBEDDING_RMS * config.width**-0.5)
        table = init(rngs.params(), (config.vocab_size, config.width), jnp.float32)
        self.input_embedding = nnx.Param(table)

    def __call__(self, tokens: Int[jax.Array, "b l"]) -> Float[jax.Array, "b l d"]:
        return self.input_embedding[...][tokens] * self.input_embedding.shape[1] ** 0.5


class Gemma3(nnx.Module):
    """Embeddings to hidden states."""

    def __init__(self, config: Gemma3Config, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs):
        self.embedder = Embedder(config, rngs=rngs)
        for layer in range(config.depth):
            setattr(self, f"layer_{layer}", Block(config, rngs=rngs))
        self.final_norm = RMSNorm(config.width)
        self.config = config
        self.dtype = dtype
        self.remat = remat

    def __call__(
        self,
        x: Float[jax.Array, "b l d"],
        valid: Bool[jax.Array, "b l"],
        positions: Int[jax.Array, "n l"] | None = None,
    ) -> Float[jax.Array, "b l d"]:
        """Runs every layer and the final norm.

        Args:
            x: embeddings.
            valid: False on tokens nobody may attend to.
            positions: of the tokens; None is 0, 1, 2, … over the whole sequence, padding included.

        Returns:
            Hidden states in the compute dtype.
        """
        config = self.config
        positions = jnp.arange(x.shape[1])[None] if positions is None else positions
        local = (
            rope_angles(positions, config.head_dim, config.local_rope_base),
            attention_mask(valid, positions, bidirectional=config.bidirectional, window=config.sliding_window),
        )
        everywhere = (
            rope_angles(positions, config.head_dim, config.global_rope_base),
            attention_mask(valid, positions, bidirectional=config.bidirectional, window=None),
        )
        x = x.astype(self.dtype)
        for layer in range(config.depth):
            angles, mask = everywhere if config.is_global(layer) else local
            x = self._run_block(getattr(self, f"layer_{layer}"), x, angles, mask)
        return self.final_norm(x)

    def _run_block(self, block: Block, x: jax.Array, angles: jax.Array, mask: jax.Array) -> jax.Array:
        if not self.remat:
            return block(x, angles, mask)
        graphdef, state = nnx.split(block)

        def run(state: nnx.State, x: jax.Array) -> jax.Array:
            return nnx.merge(graphdef, state)(x, angles, mask)

        return jax.checkpoint(run)(state, x)
