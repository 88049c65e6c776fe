"""The SigLIP vision tower: a ViT without class token or pooling that returns one token per patch.

Attribute names are big_vision's parameter names, so that the parameter tree is the checkpoint's tree.

References:
    Zhai et al., "Sigmoid Loss for Language Image Pre-Training", arXiv 2303.15343.
    Alabdulmohsin et al., "Getting ViT in Shape", arXiv 2305.13035 (the So400m shape).
"""

import functools
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from pistar_vf.models.attention import MultiHeadAttention
from pistar_vf.models.on_gpu import recomputed
from pistar_vf.models.sizes import SIGLIP_VARIANTS, SiglipConfig
from pistar_vf.typing import DTypeLike, Float

VARIANTS = SIGLIP_VARIANTS


class PatchEmbedding(nnx.Module):
    """Non-overlapping patches times one matrix: the strided convolution of the paper, written as a product."""

    def __init__(self, config: SiglipConfig, *, rngs: nnx.Rngs):
        patch = config.patch_size
        init = nnx.initializers.lecun_normal(in_axis=(0, 1, 2), out_axis=3)
        self.kernel = nnx.Param(init(rngs.params(), (patch, patch, 3, config.width), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((config.width,), jnp.float32))

    def __call__(self, image: Float[jax.Array, "b h w 3"]) -> Float[jax.Array, "b l d"]:
        patch, _, _, width = self.kernel.shape
        b, rows, columns = image.shape[0], image.shape[1] // patch, image.shape[2] // patch
        whole = image[:, : rows * patch, : columns * patch]
        patches = whole.reshape(b, rows, patch, columns, patch, 3).transpose(0, 1, 3, 2, 4, 5)
        patches = patches.reshape(b, rows * columns, patch * patch * 3)
        return patches @ self.kernel[...].reshape(-1, width) + self.bias[...].reshape(1, 1, -1)


class MlpBlock(nnx.Module):
    def __init__(self, config: SiglipConfig, *, dtype: DTypeLike, rngs: nnx.Rngs):
        init: dict[str, Any] = {
            "kernel_init": nnx.initializers.xavier_uniform(),
            "bias_init": nnx.initializers.normal(stddev=1e-6),
            "dtype": dtype,
            "rngs": rngs,
        }
        self.Dense_0 = nnx.Linear(config.width, config.mlp_dim, **init)
        self.Dense_1 = nnx.Linear(config.mlp_dim, config.width, **init)

    def __call__(self, x: Float[jax.Array, "b l d"]) -> Float[jax.Array, "b l d"]:
        return self.Dense_1(jax.nn.gelu(self.Dense_0(x), approximate=True))


class EncoderBlock(nnx.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, config: SiglipConfig, *, dtype: DTypeLike, wide_softmax: bool, rngs: nnx.Rngs):
        self.LayerNorm_0 = nnx.LayerNorm(config.width, dtype=dtype, rngs=rngs)
        self.MultiHeadDotProductAttention_0 = MultiHeadAttention(
            config.width, config.num_heads, dtype=dtype, wide_softmax=wide_softmax, rngs=rngs
        )
        self.LayerNorm_1 = nnx.LayerNorm(config.width, dtype=dtype, rngs=rngs)
        self.MlpBlock_0 = MlpBlock(config, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "b l d"]) -> Float[jax.Array, "b l d"]:
        normed = self.LayerNorm_0(x)
        x = x + self.MultiHeadDotProductAttention_0(normed, normed)
        return x + self.MlpBlock_0(self.LayerNorm_1(x))


class Encoder(nnx.Module):
    """`depth` blocks, held as one block with a leading layer axis so that compile time does not grow with depth."""

    def __init__(self, config: SiglipConfig, *, dtype: DTypeLike, remat: bool, wide_softmax: bool, rngs: nnx.Rngs):
        @nnx.split_rngs(splits=config.depth)
        @functools.partial(nnx.vmap, in_axes=0, out_axes=0)
        def create_blocks(rngs: nnx.Rngs) -> EncoderBlock:
            return EncoderBlock(config, dtype=dtype, wide_softmax=wide_softmax, rngs=rngs)

        self.encoderblock = create_blocks(rngs)
        self.encoder_norm = nnx.LayerNorm(config.width, dtype=dtype, rngs=rngs)
        self.remat = remat

    def __call__(self, x: Float[jax.Array, "b l d"]) -> Float[jax.Array, "b l d"]:
        graphdef, stacked = nnx.split(self.encoderblock)

        def run_block(x: jax.Array, block_state: Any) -> tuple[jax.Array, None]:
            return nnx.merge(graphdef, block_state)(x), None  # type: ignore[call-arg]

        # prevent_cse is for un-scanned code; inside scan it only costs speed.
        x, _ = jax.lax.scan(recomputed(run_block, self.remat, prevent_cse=False), x, stacked)
        return self.encoder_norm(x)


class Siglip(nnx.Module):
    """Pixels to patch tokens; see `MultiHeadAttention` for `wide_softmax`."""

    def __init__(
        self, config: SiglipConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs, wide_softmax: bool = True
    ):
        self.embedding = PatchEmbedding(config, rngs=rngs)
        init = nnx.initializers.normal(stddev=config.width**-0.5)
        self.pos_embedding = nnx.Param(init(rngs.params(), (1, config.num_tokens, config.width), jnp.float32))
        self.Transformer = Encoder(config, dtype=dtype, remat=remat, wide_softmax=wide_softmax, rngs=rngs)
        if config.head:
            self.head = nnx.Linear(config.width, config.width, dtype=dtype, rngs=rngs)
        self.config = config
        self.dtype = dtype

    def __call__(self, image: Float[jax.Array, "b h w 3"]) -> Float[jax.Array, "b l d"]:
        """Encodes images.

        Args:
            image: pixels in [-1, 1], float32, `image_size` square.

        Returns:
            One token per patch, row by row, in the compute dtype.
        """
        # Patches and positions in float32 (as upstream does), everything behind them in the compute dtype.
        x = self.embedding(image) + self.pos_embedding[...]
        x = self.Transformer(x.astype(self.dtype))
        return self.head(x) if self.config.head else x
