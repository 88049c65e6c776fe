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

_KERNELS, _STRIDES = (5, 3, 3, 3), (2, 2, 1, 1)


class KeypointTower(nnx.Module):
    """Pixels to one token of `width / 2` places; `mlp_dim` is the number of channels before the last convolution."""

    def __init__(self, config: SiglipConfig, *, rngs: nnx.Rngs):
        channels = (3, *[config.mlp_dim] * 3, config.width // 2)
        init = nnx.initializers.he_normal()
        for number, (kernel, stride) in enumerate(zip(_KERNELS, _STRIDES, strict=True)):
            sizes = channels[number : number + 2]
            conv = nnx.Conv(*sizes, (kernel, kernel), stride, padding="SAME", kernel_init=init, rngs=rngs)
            setattr(self, f"conv_{number}", conv)
            if number < 3:
                setattr(self, f"norm_{number}", nnx.LayerNorm(sizes[1], use_scale=False, use_bias=False, rngs=rngs))

    def __call__(self, image: Float[jax.Array, "b h w 3"]) -> Float[jax.Array, "b 1 d"]:
        """Encodes images.

        Args:
            image: pixels in [-1, 1], float32.

        Returns:
            The places in [-1, 1], (down, right) of one after the other, float32.
        """
        x = jax.nn.relu(self.norm_0(self.conv_0(image)))
        x = jax.nn.relu(self.norm_1(self.conv_1(x)))
        x = x + jax.nn.relu(self.norm_2(self.conv_2(x)))
        return soft_argmax(self.conv_3(x))[:, None, :]


def soft_argmax(maps: Float[jax.Array, "b h w c"]) -> Float[jax.Array, "b n"]:
    """Mean place of each channel under its softmax, (down, right) of one after the other."""
    batch, height, width, channels = maps.shape
    weight = jax.nn.softmax(maps.reshape(batch, height * width, channels).astype(jnp.float32), axis=1)
    axes = jnp.meshgrid(jnp.linspace(-1, 1, height), jnp.linspace(-1, 1, width), indexing="ij")
    grid = jnp.stack(axes, axis=-1).reshape(-1, 2)
    return jnp.einsum("bnc,nd->bcd", weight, grid, precision="highest").reshape(batch, -1)
