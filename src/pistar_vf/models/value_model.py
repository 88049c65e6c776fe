"""The value model: vision tower, language model and categorical head over images, state and prompt.

One model, put together as its configuration says:

* `pistar`: text attends to the image tokens, both then run through the bidirectional decoder, and the mean over the
  valid tokens enters a small head. Two things differ from upstream on purpose: the state is an input (one token at the
  end of the sequence, so that all other positions stay as they were), and a masked camera is hidden from the
  cross-attention too. `state_encoding="none"` with `numerics="upstream"` is upstream's model exactly.
* `stitched`: an MLP brings the image tokens in front of the prompt of a causal language model, with the state's token
  between them, and one layer reads the value off the last token of the prompt.

References:
    Physical Intelligence, "π*0.6", arXiv 2511.14759, sections IV-A and V-C.
"""

import dataclasses
import functools
import math
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.batch import Observation, check_observation
from pistar_vf.models.attention import MultiHeadAttention
from pistar_vf.models.gemma3 import Gemma3
from pistar_vf.models.keypoint_tower import KeypointTower
from pistar_vf.models.lora import init_lora, merge_lora
from pistar_vf.models.projector import PROJECTORS
from pistar_vf.models.siglip import Siglip
from pistar_vf.models.value_config import ValueModelConfig
from pistar_vf.models.value_head import HEADS, READOUTS
from pistar_vf.params import flatten, unflatten
from pistar_vf.typing import Array, Bool, DTypeLike, Float, Int, Params, PRNGKeyArray, Shaped

__all__ = ["ValueFunction", "ValueModel", "ValueModelConfig", "scale_pixels"]

_LORA_STREAM = 0x4C6F5241
"""Far from the counters 0, 1, 2, … with which the modules derive their keys from the same one."""


class ValueModel(nnx.Module):
    """Observation to logits over the atoms of the value's support."""

    def __init__(self, config: ValueModelConfig, *, rngs: nnx.Rngs):
        dtype: DTypeLike = jnp.dtype(config.dtype)
        width = config.gemma.width
        self.img = _create_tower(config, rngs)
        self.img_projection = PROJECTORS[config.projector](config.siglip.width, width, dtype=dtype, rngs=rngs)
        self.llm = Gemma3(config.gemma, dtype=dtype, remat=config.remat, rngs=rngs)
        if config.fusion == "cross_attention":
            self.cross_attention = MultiHeadAttention(width, config.cross_attention_heads, dtype=dtype, rngs=rngs)
            self.cross_attn_norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        if config.has_state:
            self.state_projection = nnx.Linear(config.state_dim, width, dtype=dtype, rngs=rngs)
        self.value_head = HEADS[config.head](width, config.support.num_atoms, rngs=rngs)
        self.config = config

    def __call__(self, observation: Observation) -> Float[jax.Array, "b atoms"]:
        """Logits of the value distribution, float32.

        Args:
            observation: images in [-1, 1] float or uint8, masks, tokens and normalised state.

        Raises:
            ConfigError: the observation's cameras, sizes or state do not fit the configuration.
        """
        known = observation.hidden
        return self.value_head(self.read(observation) if known is None else jnp.asarray(known))

    def read(self, observation: Observation) -> Float[jax.Array, "b d"]:
        """What the value head reads, float32: everything in front of it.

        Raises:
            ConfigError: see `__call__`.
        """
        config = self.config
        state_dim = config.state_dim if config.has_state else None
        check_observation(observation, config.cameras, config.siglip.image_size, state_dim)
        tokens, valid = self.embed(observation)
        hidden = self.decode(tokens, valid).astype(jnp.float32)
        return READOUTS[config.readout](hidden, valid)

    def embed(self, observation: Observation) -> tuple[Float[jax.Array, "b l d"], Bool[jax.Array, "b l"]]:
        """The decoder's input sequence and its validity, see `ValueModelConfig.gemma` for the order."""
        image_tokens, image_valid = self.embed_images(observation)
        text = self.embed_text(observation.tokenized_prompt).astype(image_tokens.dtype)
        if self.config.fusion == "cross_attention":
            seen = image_valid if self.config.numerics == "own" else None
            text = text + self.cross_attention(self.cross_attn_norm(text), image_tokens, seen)
        parts = [(image_tokens, image_valid), (text, observation.tokenized_prompt_mask)]
        if self.config.has_state:
            state = self.state_projection(jnp.asarray(observation.state))[:, None, :].astype(text.dtype)
            state_valid = jnp.ones((text.shape[0], 1), dtype=bool)
            parts.insert(2 if self.config.gemma.bidirectional else 1, (state, state_valid))
        tokens, valid = zip(*parts, strict=True)
        return jnp.concatenate(tokens, axis=1), jnp.concatenate(valid, axis=1)

    def decode(self, tokens: Float[jax.Array, "b l d"], valid: Bool[jax.Array, "b l"]) -> Float[jax.Array, "b l d"]:
        """Hidden states of the decoder.

        A language model never saw padding between its tokens, so a causal decoder counts positions over valid tokens
        only: a masked camera changes nothing for the others. A bidirectional one keeps upstream's positions.
        """
        bidirectional = self.config.gemma.bidirectional
        return self.llm(tokens, valid, None if bidirectional else jnp.cumsum(valid, axis=1) - 1)

    def embed_text(self, tokens: Int[Array, "b l"]) -> Float[jax.Array, "b l d"]:
        """Text tokens. Their table is never trained: a few prompts would only bend it (as upstream has it too)."""
        return jax.lax.stop_gradient(self.llm.embedder(jnp.asarray(tokens)))

    def embed_images(self, observation: Observation) -> tuple[Float[jax.Array, "b l d"], Bool[jax.Array, "b l"]]:
        """Tokens of every camera in sorted order, and their validity; all cameras pass the tower as one batch."""
        cameras = sorted(observation.image_masks)
        masks = jnp.stack([observation.image_masks[name] for name in cameras], axis=1)
        tower = self._tower_tokens(observation, cameras)
        batch, num_cameras = masks.shape
        encoded = self.img_projection(tower)
        tokens = encoded.reshape(batch, num_cameras * encoded.shape[1], encoded.shape[2])
        return tokens, jnp.repeat(masks, encoded.shape[1], axis=1)

    def _tower_tokens(self, observation: Observation, cameras: list[str]) -> Float[jax.Array, "bc l d"]:
        """Every picture's tokens, camera by camera within each frame."""
        if observation.image_tokens is not None:
            known = jnp.stack([jnp.asarray(observation.image_tokens[name]) for name in cameras], axis=1)
            return known.reshape((-1, *known.shape[2:])).astype(self.config.dtype)
        images = jnp.stack([_scaled(self.config, observation.images[name]) for name in cameras], axis=1)
        return _pooled(self.img(images.reshape((-1, *images.shape[2:]))), self.config.image_pool)


def _create_tower(config: ValueModelConfig, rngs: nnx.Rngs) -> Siglip | KeypointTower:
    if config.siglip.keypoints:
        return KeypointTower(config.siglip, rngs=rngs)
    numerics: dict[str, Any] = {"dtype": jnp.dtype(config.dtype)}
    if config.numerics == "upstream":
        numerics = {"dtype": jnp.bfloat16, "wide_softmax": False}
    return Siglip(config.siglip, remat=config.remat, rngs=rngs, **numerics)


def _pooled(tokens: Float[jax.Array, "b l d"], pool: int) -> Float[jax.Array, "b pooled d"]:
    """The means over squares of `pool` × `pool` tokens of a square grid, row by row."""
    if pool == 1:
        return tokens
    batch, count, width = tokens.shape
    side = math.isqrt(count) // pool
    return tokens.reshape(batch, side, pool, side, pool, width).mean(axis=(2, 4)).reshape(batch, side**2, width)


def _scaled(config: ValueModelConfig, image: Array) -> Float[jax.Array, "b h w 3"]:
    """Pixels as the tower reads them."""
    scale = scale_pixels if config.numerics == "own" else _scale_pixels_as_upstream
    return scale(jnp.asarray(image))


def scale_pixels(image: jax.Array) -> Float[jax.Array, "b h w 3"]:
    """uint8 [0, 255] to float32 [-1, 1]; float images are taken to be in [-1, 1] already."""
    if image.dtype == jnp.uint8:
        return image.astype(jnp.float32) / 127.5 - 1.0
    return image.astype(jnp.float32)


def _scale_pixels_as_upstream(image: jax.Array) -> Float[jax.Array, "b h w 3"]:
    """The same to the last bit of upstream, which divides in numpy; XLA would turn the division into a product."""
    if image.dtype != jnp.uint8:
        return image.astype(jnp.float32)
    return jnp.asarray(np.arange(256, dtype=np.float32) / 255.0 * 2.0 - 1.0)[image]


@dataclasses.dataclass(frozen=True)
class ValueFunction:
    """A value model as a pure function of its parameters, which are a plain nested dict.

    The dict's keys are those of a checkpoint, so saving, loading, sharding and optimising need no translation.
    """

    config: ValueModelConfig

    def init(self, key: jax.Array) -> Params:
        """Random parameters, float32.

        Raises:
            ConfigError: the adapters' targets fit no leaf.
        """
        params = _to_dict(nnx.state(ValueModel(self.config, rngs=nnx.Rngs(params=key)), nnx.Param))
        if self.config.lora is None:
            return params
        adapters = init_lora(jax.random.fold_in(key, _LORA_STREAM), flatten(params), self.config.lora)
        return {**params, **unflatten(adapters)}

    def shapes(self) -> Params:
        """The tree of `init` as `jax.ShapeDtypeStruct`, without allocating it.

        Raises:
            ConfigError: the adapters' targets fit no leaf.
        """
        return jax.tree.map(lambda leaf: leaf, _shapes(self.config))

    def bind(self, params: Params, dropout_key: PRNGKeyArray | None = None) -> ValueModel:
        """The module with the given parameters, adapters merged.

        Args:
            params: nested dict.
            dropout_key: of the adapters' dropout in training; None for none.
        """
        if self.config.lora is not None:
            params = unflatten(merge_lora(flatten(params), self.config.lora, dropout_key))
        return _filled(_module(self.config), params)

    def apply(
        self, params: Params, observation: Observation, dropout_key: PRNGKeyArray | None = None
    ) -> Float[jax.Array, "b atoms"]:
        """Logits of `observation`, see `bind` for the arguments."""
        return self.bind(params, dropout_key)(observation)

    def read(self, params: Params, observation: Observation) -> Float[jax.Array, "b d"]:
        """What the value head reads of `observation`, for `Observation.hidden`."""
        return self.bind(params).read(observation)

    def encode_images(self, tower: Params, image: Shaped[Array, "b h w 3"]) -> Float[jax.Array, "b tokens d"]:
        """What the vision tower makes of pictures, pooled, for `Observation.image_tokens`.

        Args:
            tower: nested parameters of the tower alone (`params["img"]`).
            image: pixels, uint8 or float in [-1, 1].
        """
        known = _filled(_tower(self.config), tower)
        return _pooled(known(_scaled(self.config, image)), self.config.image_pool)


# Building a module is a second of tracing, also for its shapes alone, and each command does so several times; what
# depends on the configuration only is kept. What is kept is never handed out: states are filled in place.


@functools.lru_cache(maxsize=8)
def _shapes(config: ValueModelConfig) -> Params:
    return jax.eval_shape(ValueFunction(config).init, jax.random.key(0))


@functools.lru_cache(maxsize=8)
def _module(config: ValueModelConfig) -> tuple[nnx.GraphDef[Any], nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: ValueModel(config, rngs=nnx.Rngs(params=0))), nnx.Param)


@functools.lru_cache(maxsize=8)
def _tower(config: ValueModelConfig) -> tuple[nnx.GraphDef[Any], nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: _create_tower(config, nnx.Rngs(params=0))), nnx.Param)


def _filled(abstract: tuple[nnx.GraphDef[Any], nnx.State], params: Params) -> Any:
    """The module with these parameters; `nnx.split` by them refuses one that holds anything else."""
    graphdef, state = abstract
    own = jax.tree.map(lambda leaf: leaf, state)
    _replace_by_dict(own, params)
    return nnx.merge(graphdef, own)


def _to_dict(state: nnx.State) -> Params:
    """`nnx.to_pure_dict` where it exists, else the older method."""
    return nnx.to_pure_dict(state) if hasattr(nnx, "to_pure_dict") else state.to_pure_dict()


def _replace_by_dict(state: nnx.State, params: Params) -> None:
    if hasattr(nnx, "replace_by_pure_dict"):
        nnx.replace_by_pure_dict(state, dict(params))
    else:
        state.replace_by_pure_dict(dict(params))
