"""`numerics="upstream"`. Oracles: Flax linen's attention, numpy's division, and what must change V."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.linen import dot_product_attention
from support.small_models import random_observation, random_params, small_value_function

from pistar_vf.models.attention import _narrow_attention
from pistar_vf.models.value_model import _scale_pixels_as_upstream

UPSTREAM = {"numerics": "upstream", "state_encoding": "none"}


@pytest.fixture(scope="module")
def params():
    return random_params(small_value_function(**UPSTREAM))


def logits(params, observation, **overrides):
    return np.asarray(jax.jit(small_value_function(**{**UPSTREAM, **overrides}).apply)(params, observation))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_attention_is_linens(dtype, masked):
    keys = jax.random.split(jax.random.key(0), 3)
    query, key, value = (jax.random.normal(k, (2, 5, 3, 8), dtype) * 3 for k in keys)
    mask = jnp.asarray([[[[True, False, True, True, False]]], [[[True] * 5]]]) if masked else None
    found = _narrow_attention(query, key, value, mask)
    expected = dot_product_attention(query, key, value, mask=mask)
    assert found.dtype == dtype
    np.testing.assert_array_equal(np.asarray(found, np.float32), np.asarray(expected, np.float32))


def test_pixels_are_divided_as_numpy_does():
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    expected = image.astype(np.float32) / 255.0 * 2.0 - 1.0
    np.testing.assert_array_equal(jax.jit(_scale_pixels_as_upstream)(jnp.asarray(image)), expected)
    np.testing.assert_array_equal(_scale_pixels_as_upstream(jnp.asarray(expected)), expected)


def test_the_text_attends_to_masked_cameras(params):
    """Through the cross-attention alone: our own numerics hide them there, too."""
    observation = random_observation()
    masks = {"base": np.ones(3, bool), "wrist": np.zeros(3, bool)}
    black = {**observation.images, "wrist": np.zeros_like(observation.images["wrist"])}
    shown, hidden = observation.replace(image_masks=masks), observation.replace(image_masks=masks, images=black)
    assert np.abs(logits(params, shown) - logits(params, hidden)).max() > 1e-3
    own = [logits(params, one, numerics="own") for one in (shown, hidden)]
    np.testing.assert_array_equal(own[0], own[1])


def test_the_tower_runs_in_bfloat16(params):
    observation = random_observation()
    found, exact = logits(params, observation), logits(params, observation, numerics="own")
    difference = np.abs(found - exact).max() / np.abs(exact).max()
    assert 1e-5 < difference < 0.05  # bfloat16 has eight bits
