"""A value model small enough for unit tests, with sizes that differ wherever a mix-up could hide."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.batch import Observation
from pistar_vf.categorical import Support
from pistar_vf.models.gemma3 import Gemma3Config
from pistar_vf.models.siglip import SiglipConfig
from pistar_vf.models.value_config import stitched_config
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import flatten, unflatten
from pistar_vf.typing import Params

SIGLIP = SiglipConfig(width=32, depth=2, mlp_dim=40, num_heads=4, patch_size=4, image_size=12)
GEMMA = Gemma3Config(
    width=48,
    depth=2,
    mlp_dim=56,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    vocab_size=64,
    sliding_window=5,
    global_every=2,
)
CONFIG = ValueModelConfig(
    siglip=SIGLIP,
    gemma=GEMMA,
    support=Support(num_atoms=11),
    cameras=("wrist", "base"),
    state_dim=5,
    max_token_len=6,
)


def small_value_function(
    *, siglip: dict | None = None, gemma: dict | None = None, **overrides: object
) -> ValueFunction:
    """The small model with some fields replaced."""
    config = dataclasses.replace(
        CONFIG,
        siglip=dataclasses.replace(SIGLIP, **(siglip or {})),
        gemma=dataclasses.replace(GEMMA, **(gemma or {})),
        **overrides,
    )
    return ValueFunction(config)


def small_stitched(*, siglip: dict | None = None, gemma: dict | None = None, **overrides: object) -> ValueFunction:
    """The same sizes, stitched."""
    fields = {name: getattr(CONFIG, name) for name in ("support", "cameras", "state_dim", "max_token_len")}
    tower, decoder = dataclasses.replace(SIGLIP, **(siglip or {})), dataclasses.replace(GEMMA, **(gemma or {}))
    return ValueFunction(stitched_config(tower, decoder, **{**fields, **overrides}))


def random_params(value_function: ValueFunction, seed: int = 0) -> Params:
    """Random numbers in every leaf, biases and norm scales too, so that a forgotten one shows."""
    shapes = flatten(value_function.shapes())
    rng = np.random.default_rng(seed)
    # 0.15 keeps activations near 1 at widths of 32 to 56.
    leaves = {path: 0.15 * rng.standard_normal(leaf.shape) for path, leaf in shapes.items()}
    # LayerNorm multiplies by its scale, the decoder's RMSNorm by 1 + scale.
    centred_at_one = [path for path in leaves if path.endswith("scale") and not path.startswith("llm/")]
    leaves |= {path: leaves[path] + 1.0 for path in centred_at_one}
    return unflatten({path: jnp.asarray(leaf, jnp.float32) for path, leaf in leaves.items()})


def random_observation(seed: int = 0, batch: int = 3, image_size: int = 12) -> Observation:
    """uint8 images of two cameras, prompts of 4, 6, 5, … tokens, states; every camera valid."""
    rng, shape = np.random.default_rng(seed), (batch, image_size, image_size, 3)
    lengths = np.array([4, 6, 5] * batch)[:batch]
    mask = np.arange(6)[None, :] < lengths[:, None]
    return Observation(
        images={name: rng.integers(0, 256, shape, dtype=np.uint8) for name in ("wrist", "base")},
        image_masks={name: np.ones(batch, bool) for name in ("wrist", "base")},
        tokenized_prompt=np.where(mask, rng.integers(1, 64, (batch, 6)), 0).astype(np.int32),
        tokenized_prompt_mask=mask,
        state=rng.standard_normal((batch, 5)).astype(np.float32),
    )


def random_jax_observation() -> Observation:
    """`random_observation` as JAX arrays, for calls outside `jax.jit`."""
    return jax.tree.map(jnp.asarray, random_observation())


def relative_error(actual: object, expected: object) -> float:
    """Largest absolute difference over the largest expected magnitude."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    return float(np.max(np.abs(actual - expected)) / np.max(np.abs(expected)))
