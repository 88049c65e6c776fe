"""The stitched model at its published size, once: one step on values and on answers (`make test-slow`)."""

import resource
import time

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.small_models import relative_error

from pistar_vf.batch import LanguageBatch, Observation
from pistar_vf.categorical import cross_entropy, two_hot
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.language import language_loss
from pistar_vf.models.lora import LORA, LoraConfig
from pistar_vf.models.siglip import Siglip
from pistar_vf.models.value_config import stitched_config
from pistar_vf.models.value_model import ValueFunction, _replace_by_dict
from pistar_vf.params import num_parameters, unflatten
from pistar_vf.testing.fake_weights import random_leaf, random_params
from pistar_vf.weights.weight_files import model_leaves

pytestmark = pytest.mark.slow

MODEL = stitched_config(
    siglip.VARIANTS["So400m/14-384"], gemma3.VARIANTS["gemma3_270m"], state_dim=29, lora=LoraConfig()
)
TRAINED = ("img_projection/", "state_projection/", "value_head/", LORA)


@pytest.fixture(autouse=True, scope="module")
def fast_compilation():
    """Replaces that of the small models: here it is running that takes the time."""


def observation_of_one_frame(rng):
    return Observation(
        images={"base_0_rgb": rng.integers(0, 256, (1, 384, 384, 3), dtype=np.uint8)},
        image_masks={"base_0_rgb": np.ones(1, bool)},
        tokenized_prompt=rng.integers(1, 262_144, (1, 48)).astype(np.int32),
        tokenized_prompt_mask=np.arange(48)[None] < 20,
        state=rng.standard_normal((1, 29)).astype(np.float32),
    )


def answers(o):
    """A text of 20 tokens, of which the last five are to be predicted."""
    loss_mask = o.tokenized_prompt_mask & (np.arange(48)[None] >= 15)
    return LanguageBatch(
        o.images, o.image_masks, o.tokenized_prompt, o.tokenized_prompt_mask, loss_mask, np.zeros(1, np.int32)
    )


def test_one_step_on_a_frame_and_a_question():
    value_function = ValueFunction(MODEL)
    flat = random_params(MODEL)
    # As they start: the head at zero, and the adapters without effect.
    zeros = (
        "value_head/kernel",
        "value_head/bias",
        *(name for name in flat if name.startswith(LORA) and name[-1] == "b"),
    )
    flat |= {name: np.zeros_like(flat[name]) for name in zeros}
    assert num_parameters(flat) == 683_280_441 + 29 * 640 + 640 + 1_898_496
    trained = {name: jnp.asarray(leaf) for name, leaf in flat.items() if name.startswith(TRAINED)}
    frozen = {name: jnp.asarray(flat.pop(name)) for name in list(flat) if not name.startswith(TRAINED)}

    def losses(trained, frozen, observation, batch):
        params = unflatten({**frozen, **trained})
        value = cross_entropy(value_function.apply(params, observation), two_hot(jnp.array([-0.25]), MODEL.support))[0]
        total, count = language_loss(value_function, params, batch)
        return value + total / count, (value, total / count)

    @jax.jit
    def step(trained, frozen, observation, batch):
        (_, parts), grads = jax.value_and_grad(losses, has_aux=True)(trained, frozen, observation, batch)
        norm = jnp.sqrt(sum(jnp.vdot(grad, grad) for grad in grads.values()))
        return {name: leaf - 0.1 * grads[name] / norm for name, leaf in trained.items()}, parts, norm

    observation = observation_of_one_frame(np.random.default_rng(0))
    batch, seconds, found = answers(observation), [], []
    for _ in range(2):
        started = time.perf_counter()
        trained, parts, norm = jax.block_until_ready(step(trained, frozen, observation, batch))
        seconds.append(time.perf_counter() - started)
        found.append([float(part) for part in parts])
        assert 0.0 < float(norm) < np.inf
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"first step {seconds[0]:.0f} s, second {seconds[1]:.1f} s, peak {peak:.1f} GiB, losses {found}")
    assert found[0][0] == pytest.approx(np.log(201), abs=1e-4)
    assert sum(found[1]) < sum(found[0])
    assert peak < 20


def test_the_tower_of_384_pixels_against_transformers():
    torch = pytest.importorskip("torch", reason="the reference implementations need torch (CPU) and transformers")
    pytest.importorskip("transformers", reason="the reference implementations need torch (CPU) and transformers")
    from support import oracle_transformers

    shapes = {name: leaf for name, leaf in model_leaves(MODEL).items() if name.startswith("img/")}
    rng = np.random.default_rng(1)
    params = unflatten({name: random_leaf(name, leaf.shape, rng) for name, leaf in shapes.items()})["img"]
    image = rng.uniform(-1, 1, (1, 384, 384, 3)).astype(np.float32)
    graphdef, state = nnx.split(
        nnx.eval_shape(lambda: Siglip(MODEL.siglip, dtype=jnp.float32, remat=False, rngs=nnx.Rngs(params=0)))
    )
    _replace_by_dict(state, params)
    found = jax.jit(nnx.merge(graphdef, state))(image)
    with torch.no_grad():
        pixels = torch.from_numpy(image).permute(0, 3, 1, 2)
        expected = oracle_transformers.siglip(params, MODEL.siglip)(pixels).last_hidden_state
    assert found.shape == (1, 729, 1152)
    error = relative_error(found, expected)
    print(f"relative error {error:.1e}")
    assert error < 1e-5
