"""The full-size model with random weights, its inputs, and its programs: the training step in every variant, and V."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.batch import Observation, ValueBatch
from pistar_vf.choices import FreezeMode
from pistar_vf.inference.forward import compiled_forward
from pistar_vf.models.sizes import GEMMA_VARIANTS, SIGLIP_VARIANTS
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import flatten, unflatten
from pistar_vf.training.optimizer import create_optimizer, create_schedule
from pistar_vf.training.settings import OptimizerSettings
from pistar_vf.training.state import create_state, held_shapes, split_params
from pistar_vf.training.step import create_step, value_loss_fn
from pistar_vf.typing import Params

CAMERAS = ("base_0_rgb", "wrist_0_rgb")
STATE_DIM = 8
_WEIGHT = 0.02
"""Standard deviation of a random weight."""
_WORDS = 12
"""Tokens of a prompt, of the 48 that there is room for."""


def full_config(**fields: Any) -> ValueModelConfig:
    """SigLIP So400m/14 and Gemma 3 270M with two cameras: 683 M parameters."""
    towers = SIGLIP_VARIANTS["So400m/14"], GEMMA_VARIANTS["gemma3_270m"]
    return ValueModelConfig(*towers, cameras=CAMERAS, state_dim=STATE_DIM, **fields)


def random_params(
    config: ValueModelConfig, freeze_mode: FreezeMode = "all_backbones", dtype: str = "float32"
) -> Params:
    """Flat, each leaf as it is held in training; the head's last layer, zero at first, is random too."""
    shapes = held_shapes(flatten(ValueFunction(config).shapes()), freeze_mode, jnp.dtype(dtype))
    return {name: jnp.asarray(number, shapes[name].dtype) for name, number in random_numbers(shapes).items()}


def random_numbers(shapes: Params) -> dict[str, np.ndarray]:
    """Float32 parameters of flat shapes, on the host."""
    rng = np.random.default_rng(0)

    def create(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("bias") or (name.endswith("scale") and name.startswith("llm/")):
            return np.zeros(shape, np.float32)
        if name.endswith("scale"):
            return np.ones(shape, np.float32)
        return _WEIGHT * rng.standard_normal(shape, np.float32)

    return {name: create(name, leaf.shape) for name, leaf in shapes.items()}


def device_params(shapes: Params) -> Params:
    """Random parameters made on the device, by one program: flat shapes to arrays; biases and norms as above."""
    return _creator(tuple(shapes.items()))()


@functools.cache
def _creator(leaves: tuple[tuple[str, jax.ShapeDtypeStruct], ...]) -> Callable[[], Params]:
    """One program for the same shapes, however often they are asked for."""
    shapes = dict(leaves)
    drawn = {name: leaf for name, leaf in shapes.items() if not name.endswith(("bias", "scale"))}

    def create() -> Params:
        total = sum(leaf.size for leaf in drawn.values())
        numbers = _WEIGHT * jax.random.normal(jax.random.key(0, impl="rbg"), (total,), jnp.float32)
        params, start = {}, 0
        for name, leaf in shapes.items():
            if name in drawn:
                params[name] = numbers[start : start + leaf.size].reshape(leaf.shape).astype(leaf.dtype)
                start += leaf.size
            else:
                one = name.endswith("scale") and not name.startswith("llm/")
                params[name] = jnp.full(leaf.shape, float(one), leaf.dtype)
        return params

    return jax.jit(create)


def random_batch(config: ValueModelConfig, size: int) -> ValueBatch:
    """Frames of noise."""
    rng, side = np.random.default_rng(0), config.siglip.image_size
    tokens = np.zeros((size, config.max_token_len), np.int32)
    tokens[:, :_WORDS] = rng.integers(1, config.gemma.vocab_size, (size, _WORDS))
    observation = Observation(
        images={name: rng.integers(0, 256, (size, side, side, 3), dtype=np.uint8) for name in CAMERAS},
        image_masks={name: np.ones(size, bool) for name in CAMERAS},
        tokenized_prompt=tokens,
        tokenized_prompt_mask=tokens > 0,
        state=rng.standard_normal((size, STATE_DIM)).astype(np.float32),
    )
    return ValueBatch(observation, -rng.random(size, np.float32), np.arange(size, dtype=np.int32))


def with_tokens(function: ValueFunction, params: Params, batch: ValueBatch) -> ValueBatch:
    """The same frames as the feature cache hands them out: pictures replaced by what the tower makes of them."""
    tower = {name.removeprefix("img/"): leaf for name, leaf in params.items() if name.startswith("img/")}
    encode, nested = jax.jit(function.encode_images), unflatten(tower)
    tokens = {name: np.asarray(encode(nested, image)) for name, image in batch.observation.images.items()}
    return batch.replace(observation=batch.observation.replace(images={}, image_tokens=tokens))


def with_hidden(function: ValueFunction, params: Params, batch: ValueBatch) -> ValueBatch:
    """The same frames as a run of the head alone reads them."""
    hidden = np.asarray(jax.jit(function.read)(unflatten(params), batch.observation))
    return batch.replace(observation=batch.observation.replace(images={}, image_masks={}, hidden=hidden))


def lowered_step(
    function: ValueFunction, params: Params, freeze_mode: FreezeMode, batch: ValueBatch, *, augment: bool = False
) -> Any:
    """The library's own training step as a program to be compiled; arguments may be shapes alone."""
    tx, schedule = _optimizer(freeze_mode)
    own, frozen = split_params(params, freeze_mode)
    state = jax.eval_shape(lambda trainable: create_state(trainable, tx), own)
    step = create_step(value_loss_fn(function, augment=augment), tx, schedule, seed=0, ema_decay=0.99)
    return jax.jit(step, donate_argnums=0).lower(state, frozen, batch)


def _optimizer(freeze_mode: FreezeMode) -> tuple[Any, Any]:
    settings = OptimizerSettings(freeze_mode=freeze_mode)
    return create_optimizer(settings, 1_000), create_schedule(settings, 1_000)


@dataclasses.dataclass
class Step:
    """The library's own training step, compiled, with the state that it replaces."""

    state: Any
    frozen: Params
    compiled: Any
    batch: ValueBatch

    @classmethod
    def of(cls, function: ValueFunction, params: Params, freeze_mode: FreezeMode, batch: ValueBatch) -> "Step":
        """Args as of `training.step.create_step`, without augmentation."""
        return cls.start(lowered_step(function, params, freeze_mode, batch).compile(), params, freeze_mode, batch)

    @classmethod
    def start(cls, compiled: Any, params: Params, freeze_mode: FreezeMode, batch: ValueBatch) -> "Step":
        """A step that is compiled already, at step 0."""
        own, frozen = split_params(params, freeze_mode)
        # Copies: the step donates them, and another variant starts from the same ones.
        state = create_state(jax.tree.map(jnp.copy, own), _optimizer(freeze_mode)[0])
        return cls(state, frozen, compiled, batch)

    def __call__(self) -> None:
        """One update."""
        self.start_one().block_until_ready()

    def start_one(self) -> jax.Array:
        """One update that may still be under way; its loss."""
        self.state, scalars = self.compiled(self.state, self.frozen, self.batch)
        return scalars["loss"]


def value(function: ValueFunction, params: Params, batch: ValueBatch) -> Callable[[], np.ndarray]:
    """The library's own forward pass."""
    forward = compiled_forward(function.config)
    return lambda: np.asarray(forward(params, {}, batch.observation))
