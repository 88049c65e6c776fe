"""The value model: vision tower, language model and categorical head over images, state and prompt.

Numerics follow the `pistar` model: text attends to the image tokens, both then run through the bidirectional
decoder, and the mean over the valid tokens enters a small head. Two things differ from it on purpose: the state is
an input (one token at the end of the sequence, so that all other positions stay as they were), and a masked camera
is hidden from the cross-attention too. `state_encoding="none"` without masked cameras is upstream's model exactly.

References:
    Physical Intelligence, "π*0.6", arXiv 2511.14759, sections IV-A and V-C.
"""

import dataclasses
from typing import Literal, get_args

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from pistar_vf.batch import Observation, check_observation
from pistar_vf.categorical import Support
from pistar_vf.errors import ConfigError
from pistar_vf.models.attention import MultiHeadAttention
from pistar_vf.models.gemma3 import Gemma3, Gemma3Config
from pistar_vf.models.siglip import Siglip, SiglipConfig
from pistar_vf.typing import Bool, DTypeLike, Float, Params

StateEncoding = Literal["token", "none"]


@dataclasses.dataclass(frozen=True)
class ValueModelConfig:
    """Everything that decides the parameter tree and the forward pass.

    Attributes:
        cameras: model-side camera names; the sequence holds them in sorted order.
        state_dim: components of the robot state; ignored with `state_encoding="none"`.
        state_encoding: "token" feeds the state as one extra token, "none" leaves it out (upstream's numerics).
        dtype: compute dtype, "float32" or "bfloat16"; parameters, logits and loss are float32 either way.
        remat: recompute activations in the backward pass instead of keeping them.
    """

    siglip: SiglipConfig
    gemma: Gemma3Config
    support: Support = dataclasses.field(default_factory=Support)
    cameras: tuple[str, ...] = ("base_0_rgb",)
    state_dim: int = 0
    state_encoding: StateEncoding = "token"
    cross_attention_heads: int = 8
    max_token_len: int = 48
    dtype: str = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        if self.state_encoding not in get_args(StateEncoding):
            raise ConfigError(f"state_encoding: expected one of {get_args(StateEncoding)}, got {self.state_encoding!r}")
        if not self.cameras:
            raise ConfigError("a value model needs at least one camera, got none")
        if self.has_state and self.state_dim < 1:
            raise ConfigError(
                f"state_encoding='token' expects state_dim >= 1, got {self.state_dim}; "
                "a dataset without state needs state_encoding='none'"
            )

    @property
    def has_state(self) -> bool:
        """Whether the state is an input."""
        return self.state_encoding == "token"


class ValueHead(nnx.Module):
    """LayerNorm, Linear, GELU, Linear; float32 throughout.

    The last layer starts at zero: every value starts as the uniform distribution (loss ln 201). From random logits,
    training first unlearns them and takes the features along: small models then stay constant for hundreds of steps.
    """

    def __init__(self, width: int, num_atoms: int, *, rngs: nnx.Rngs):
        self.layer_norm = nnx.LayerNorm(width, rngs=rngs)
        self.linear1 = nnx.Linear(width, width // 2, rngs=rngs)
        self.linear2 = nnx.Linear(width // 2, num_atoms, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)

    def __call__(self, x: Float[jax.Array, "b d"]) -> Float[jax.Array, "b atoms"]:
        hidden = self.linear1(self.layer_norm(x.astype(jnp.float32)))
        return self.linear2(jax.nn.gelu(hidden, approximate=True))


class ValueModel(nnx.Module):
    """Observation to logits over the atoms of the value's support."""

    def __init__(self, config: ValueModelConfig, *, rngs: nnx.Rngs):
        dtype: DTypeLike = jnp.dtype(config.dtype)
        width = config.gemma.width
        self.img = Siglip(config.siglip, dtype=dtype, remat=config.remat, rngs=rngs)
        self.img_projection = nnx.Linear(config.siglip.width, width, dtype=dtype, rngs=rngs)
        self.llm = Gemma3(config.gemma, dtype=dtype, remat=config.remat, rngs=rngs)
        self.cross_attention = MultiHeadAttention(width, config.cross_attention_heads, dtype=dtype, rngs=rngs)
        self.cross_attn_norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        if config.has_state:
            self.state_projection = nnx.Linear(config.state_dim, width, dtype=dtype, rngs=rngs)
        self.value_head = ValueHead(width, config.support.num_atoms, rngs=rngs)
        self.config = config

    def __call__(self, observation: Observation) -> Float[jax.Array, "b atoms"]:
        """Logits of the value distribution, float32.

        Args:
            observation: images in [-1, 1] float or uint8, masks, tokens and normalised state.

        Raises:
            ConfigError: the observation's cameras, sizes or state do not fit the configuration.
        """
        config = self.config
        state_dim = config.state_dim if config.has_state else None
        check_observation(observation, config.cameras, config.siglip.image_size, state_dim)
        tokens, valid = self.embed(observation)
        hidden = self.llm(tokens, valid).astype(jnp.float32)
        weight = valid.astype(jnp.float32)[..., None]
        pooled = jnp.sum(hidden * weight, axis=1) / jnp.clip(jnp.sum(weight, axis=1), min=1.0)
        return self.value_head(pooled)

    def embed(self, observation: Observation) -> tuple[Float[jax.Array, "b l d"], Bool[jax.Array, "b l"]]:
        """The decoder's input sequence [image tokens, text tokens, state token] and its validity."""
        image_tokens, image_valid = self.embed_images(observation)
        # The embedding table is never trained: a few prompts would only bend it (upstream stops its gradient too).
        text = jax.lax.stop_gradient(self.llm.embedder(observation.tokenized_prompt)).astype(image_tokens.dtype)
        text = text + self.cross_attention(self.cross_attn_norm(text), image_tokens, image_valid)
        tokens = [image_tokens, text]
        valid = [image_valid, observation.tokenized_prompt_mask]
        if self.config.has_state:
            tokens.append(self.state_projection(observation.state)[:, None, :].astype(text.dtype))
            valid.append(jnp.ones((text.shape[0], 1), dtype=bool))
        return jnp.concatenate(tokens, axis=1), jnp.concatenate(valid, axis=1)

    def embed_images(self, observation: Observation) -> tuple[Float[jax.Array, "b l d"], Bool[jax.Array, "b l"]]:
        """Tokens of every camera in sorted order, and their validity; all cameras pass the tower as one batch."""
        cameras = sorted(observation.images)
        images = jnp.stack([scale_pixels(observation.images[name]) for name in cameras], axis=1)
        batch, num_cameras = images.shape[:2]
        encoded = self.img_projection(self.img(images.reshape(batch * num_cameras, *images.shape[2:])))
        tokens = encoded.reshape(batch, num_cameras * encoded.shape[1], encoded.shape[2])
        masks = jnp.stack([observation.image_masks[name] for name in cameras], axis=1)
        return tokens, jnp.repeat(masks, encoded.shape[1], axis=1)


def scale_pixels(image: jax.Array) -> Float[jax.Array, "b h w 3"]:
    """uint8 [0, 255] to float32 [-1, 1]; float images are taken to be in [-1, 1] already."""
    if image.dtype == jnp.uint8:
        return image.astype(jnp.float32) / 127.5 - 1.0
    return image.astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class ValueFunction:
    """A value model as a pure function of its parameters, which are a plain nested dict.

    The dict's keys are those of a checkpoint, so saving, loading, sharding and optimising need no translation.
    """

    config: ValueModelConfig

    def init(self, key: jax.Array) -> Params:
        """Random parameters, float32. Trace under `jax.eval_shape` to get shapes without allocating."""
        return _to_dict(nnx.state(ValueModel(self.config, rngs=nnx.Rngs(params=key)), nnx.Param))

    def bind(self, params: Params) -> ValueModel:
        """The module with the given parameters."""
        abstract = nnx.eval_shape(lambda: ValueModel(self.config, rngs=nnx.Rngs(params=0)))
        graphdef, state, rest = nnx.split(abstract, nnx.Param, ...)
        if jax.tree.leaves(rest):
            raise AssertionError("a value model holds parameters only")
        _replace_by_dict(state, params)
        return nnx.merge(graphdef, state, rest)

    def apply(self, params: Params, observation: Observation) -> Float[jax.Array, "b atoms"]:
        """Logits of `observation`."""
        return self.bind(params)(observation)


def _to_dict(state: nnx.State) -> Params:
    """`nnx.to_pure_dict` where it exists, else the older method."""
    return nnx.to_pure_dict(state) if hasattr(nnx, "to_pure_dict") else state.to_pure_dict()


def _replace_by_dict(state: nnx.State, params: Params) -> None:
    if hasattr(nnx, "replace_by_pure_dict"):
        nnx.replace_by_pure_dict(state, params)
    else:
        state.replace_by_pure_dict(params)
