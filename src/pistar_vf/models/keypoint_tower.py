"""A small tower to be trained from scratch: places of things in a picture, which few episodes are enough to learn.

Four convolutions make maps, a spatial softmax turns each into the place where it is largest; a picture becomes one
token of these places. A transformer on patches has no such notion and needs far more pictures.

References:
    Levine et al., "End-to-end training of deep visuomotor policies", arXiv 1504.00702 (spatial softmax).
"""

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from pistar_vf.models.sizes import SiglipConfig
from pistar_vf.typing import Float


class KeypointTower(nnx.Module):
    """Pixels to one token of `width / 2` places; `mlp_dim` is the number of channels before the last convolution."""

    def __init__(self, config: SiglipConfig, *, rngs: nnx.Rngs):
        channels, places = config.mlp_dim, config.width // 2
        self.conv_0 = _convolution(3, channels, 5, 2, rngs)
        self.conv_1 = _convolution(channels, channels, 3, 2, rngs)
        self.conv_2 = _convolution(channels, channels, 3, 1, rngs)
        self.conv_3 = _convolution(channels, places, 3, 1, rngs)

    def __call__(self, image: Float[jax.Array, "b h w 3"]) -> Float[jax.Array, "b 1 d"]:
        """Encodes images.

        Args:
            image: pixels in [-1, 1], float32.

        Returns:
            The places in [-1, 1], (down, right) of one after the other, float32.
        """
        x = jax.nn.relu(_normalised(self.conv_0(image)))
        x = jax.nn.relu(_normalised(self.conv_1(x)))
        x = x + jax.nn.relu(_normalised(self.conv_2(x)))
        return soft_argmax(self.conv_3(x))[:, None, :]


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    init = nnx.initializers.he_normal()
    return nnx.Conv(inputs, outputs, (kernel, kernel), stride, padding="SAME", kernel_init=init, rngs=rngs)


def _normalised(x: Float[jax.Array, "b h w c"]) -> Float[jax.Array, "b h w c"]:
    """Over channels, without parameters: a layer without any holds an empty leaf in flax 0.10."""
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-6)


def soft_argmax(maps: Float[jax.Array, "b h w c"]) -> Float[jax.Array, "b n"]:
    """Mean place of each channel under its softmax, (down, right) of one after the other."""
    batch, height, width, channels = maps.shape
    weight = jax.nn.softmax(maps.reshape(batch, height * width, channels).astype(jnp.float32), axis=1)
    axes = jnp.meshgrid(jnp.linspace(-1, 1, height), jnp.linspace(-1, 1, width), indexing="ij")
    grid = jnp.stack(axes, axis=-1).reshape(-1, 2)
    return jnp.einsum("bnc,nd->bcd", weight, grid, precision="highest").reshape(batch, -1)
