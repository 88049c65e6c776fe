"""From the decoder's hidden states to logits over the atoms, all in float32.

The last layer starts at zero: every value starts as the uniform distribution (loss ln 201). From random logits,
training first unlearns them and takes the features along: small models then stay constant for hundreds of steps.
"""

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from pistar_vf.typing import Bool, Float


class MlpHead(nnx.Module):
    """LayerNorm, Linear, GELU, Linear."""

    def __init__(self, width: int, num_atoms: int, *, rngs: nnx.Rngs):
        self.layer_norm = nnx.LayerNorm(width, rngs=rngs)
        self.linear1 = nnx.Linear(width, width // 2, rngs=rngs)
        self.linear2 = linear_head(width // 2, num_atoms, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "b d"]) -> Float[jax.Array, "b atoms"]:
        return self.linear2(jax.nn.gelu(self.linear1(self.layer_norm(x)), approximate=True))


def linear_head(width: int, num_atoms: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """One layer, zero at first."""
    return nnx.Linear(width, num_atoms, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)


HEADS = {"mlp": MlpHead, "linear": linear_head}


def mean_hidden(hidden: Float[jax.Array, "b l d"], valid: Bool[jax.Array, "b l"]) -> Float[jax.Array, "b d"]:
    """The mean over the valid tokens."""
    weight = valid.astype(jnp.float32)[..., None]
    return jnp.sum(hidden * weight, axis=1) / jnp.clip(jnp.sum(weight, axis=1), min=1.0)


def last_hidden(hidden: Float[jax.Array, "b l d"], valid: Bool[jax.Array, "b l"]) -> Float[jax.Array, "b d"]:
    """The last valid token, wherever the padding is."""
    last = valid.shape[1] - 1 - jnp.argmax(valid[:, ::-1], axis=1)
    return jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]


READOUTS = {"mean": mean_hidden, "last_token": last_hidden}
