"""Next-token logits and their cross-entropy with a large vocabulary.

With Gemma's 262,144 tokens, the logits of one position take 1 MiB in float32: those of a batch never exist at once.
"""

import jax
import jax.numpy as jnp

from pistar_vf.typing import Array, Bool, Float, Int

_POSITIONS_AT_ONCE = 256


def token_logits(hidden: Float[jax.Array, "*b d"], table: Float[jax.Array, "vocab d"]) -> Float[jax.Array, "*b vocab"]:
    """Logits of the next token, float32.

    Args:
        hidden: the decoder's final hidden states, in the compute dtype.
        table: the embedding table, which is the language head too. It is not scaled here, and Gemma 3 has no cap on its
            logits. It gets no gradient, as everywhere in this library.
    """
    table = jax.lax.stop_gradient(table).astype(hidden.dtype)
    return jnp.einsum("...d,vd->...v", hidden, table, preferred_element_type=jnp.float32)


def sum_token_losses(
    hidden: Float[jax.Array, "b l d"],
    table: Float[jax.Array, "vocab d"],
    targets: Int[jax.Array, "b l"],
    counted: Bool[jax.Array, "b l"],
) -> Float[jax.Array, ""]:
    """Sum of the cross-entropies at the counted positions, in nats.

    A few positions of every row at a time, recomputed in the backward pass. Counted positions come first, and chunks
    without one are skipped: the cost is that of the answers. Rows that are split over devices stay on theirs.

    Args:
        hidden: the decoder's final hidden states.
        table: the embedding table.
        targets: the token that follows each position.
        counted: which positions count.
    """
    batch, length = targets.shape
    size = min(length, max(1, _POSITIONS_AT_ONCE // batch))
    order = jnp.argsort(~counted, axis=1, stable=True)
    chunks = tuple(_in_chunks(_take(x, order), size) for x in (hidden, targets, counted))

    def chunk_loss(hidden: jax.Array, targets: jax.Array, counted: jax.Array) -> jax.Array:
        logits = token_logits(hidden, table)
        chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return jnp.sum(jnp.where(counted, jax.nn.logsumexp(logits, axis=-1) - chosen, 0.0))

    @jax.checkpoint
    def add(total: jax.Array, chunk: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        loss = jax.lax.cond(jnp.any(chunk[2]), chunk_loss, lambda *_: jnp.zeros((), jnp.float32), *chunk)
        return total + loss, None

    return jax.lax.scan(add, jnp.zeros((), jnp.float32), chunks)[0]


def _take(x: Array, order: Int[jax.Array, "b l"]) -> jax.Array:
    return jnp.take_along_axis(x, order.reshape(*order.shape, *(1,) * (x.ndim - 2)), axis=1)


def _in_chunks(x: jax.Array, size: int) -> jax.Array:
    """[b, l, …] to [chunks, b, size, …], padded with zeros (False: not counted)."""
    batch, length = x.shape[:2]
    chunks = -(-length // size)
    padded = jnp.pad(x, ((0, 0), (0, chunks * size - length)) + ((0, 0),) * (x.ndim - 2))
    return padded.reshape(batch, chunks, size, *x.shape[2:]).swapaxes(0, 1)
