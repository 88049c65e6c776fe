"""One training step of the tiny model, ready to run."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.batch import Observation, ValueBatch
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.testing.tiny import tiny_model_config
from pistar_vf.training.optimizer import create_optimizer, create_schedule
from pistar_vf.training.settings import OptimizerSettings
from pistar_vf.training.state import create_state, split_params
from pistar_vf.training.step import create_step, value_loss_fn

OPTIMIZER = OptimizerSettings(peak_lr=1e-2, warmup_steps=0, weight_decay=1e-4)
NUM_STEPS = 10
VALUE_FUNCTION = ValueFunction(tiny_model_config())


@functools.cache
def _shapes() -> dict[str, jax.ShapeDtypeStruct]:
    return flatten(VALUE_FUNCTION.shapes())


def random_params(seed: int = 0) -> dict[str, jax.Array]:
    """Flat; random in every leaf, biases and norms too."""
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(0.2 * rng.standard_normal(leaf.shape), jnp.float32) for name, leaf in _shapes().items()}


def random_batch(size: int = 8, seed: int = 0) -> ValueBatch:
    rng = np.random.default_rng(seed)
    cameras = VALUE_FUNCTION.config.cameras
    observation = Observation(
        images={name: rng.integers(0, 256, (size, 28, 28, 3), dtype=np.uint8) for name in cameras},
        image_masks={name: np.ones(size, bool) for name in cameras},
        tokenized_prompt=rng.integers(1, 64, (size, 6)).astype(np.int32),
        tokenized_prompt_mask=np.ones((size, 6), bool),
        state=rng.standard_normal((size, 4)).astype(np.float32),
    )
    return ValueBatch(observation, -rng.random(size, np.float32), np.arange(size, dtype=np.int32))


@dataclasses.dataclass
class Setup:
    """A state, its frozen leaves and the step, jitted with the state donated."""

    state: object
    frozen: dict
    step: object


def create_setup(freeze_mode: str = "none", *, augment: bool = False, **options) -> Setup:
    trainable, frozen = split_params(random_params(), freeze_mode)
    tx = create_optimizer(OPTIMIZER, NUM_STEPS)
    schedule = create_schedule(OPTIMIZER, NUM_STEPS)
    settings = {name: options.pop(name, default) for name, default in (("seed", 0), ("ema_decay", 0.9))}
    step = create_step(value_loss_fn(VALUE_FUNCTION, augment=augment, **options), tx, schedule, **settings)
    return Setup(create_state(trainable, tx), frozen, jax.jit(step, donate_argnums=0))


def host(tree):
    return jax.tree.map(np.array, tree)
