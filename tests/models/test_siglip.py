"""The vision tower against numpy, patch by patch and block by block."""

import dataclasses

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle_numpy
from support.small_models import SIGLIP, random_params, relative_error, small_value_function

from pistar_vf.errors import ConfigError
from pistar_vf.models.siglip import VARIANTS

WITH_HEAD = {"siglip": {"head": True}}


@pytest.fixture(scope="module")
def params():
    return random_params(small_value_function(**WITH_HEAD))["img"]


@pytest.fixture(scope="module")
def float64(params):
    return jax.tree.map(lambda p: np.asarray(p, np.float64), params)


@pytest.fixture(scope="module")
def image():
    return jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (2, 12, 12, 3)), jnp.float32)


def _tower(params, **siglip):
    """The tower alone, with the head's parameters left out where it has none."""
    value_function = small_value_function(siglip=siglip)
    kept = params if siglip.get("head") else {name: leaf for name, leaf in params.items() if name != "head"}
    return value_function.bind({**random_params(value_function), "img": kept}).img


def test_patch_tokens_equal_a_loop_over_patches(params, float64, image):
    tokens = _tower(params).embedding(image)
    expected = np.stack([oracle_numpy.patch_tokens(np.asarray(x, np.float64), float64["embedding"]) for x in image])
    assert relative_error(tokens, expected) < 1e-5


def test_swapping_two_patches_swaps_their_tokens(params, image):
    embedding = _tower(params).embedding
    # Row 0, column 2 with row 1, column 0: tokens 2 and 3 of the 3 × 3 grid.
    first, second = image[:, 0:4, 8:12], image[:, 4:8, 0:4]
    swapped = image.at[:, 0:4, 8:12].set(second).at[:, 4:8, 0:4].set(first)
    np.testing.assert_array_equal(embedding(swapped), embedding(image)[:, jnp.array([0, 1, 3, 2, 4, 5, 6, 7, 8])])


def test_patches_of_a_wide_image_run_along_the_rows(params, float64):
    """Height and width are read separately, which square images cannot show."""
    wide = jnp.asarray(np.random.default_rng(2).uniform(-1, 1, (1, 8, 20, 3)), jnp.float32)
    expected = oracle_numpy.patch_tokens(np.asarray(wide[0], np.float64), float64["embedding"])
    assert relative_error(_tower(params).embedding(wide)[0], expected) < 1e-5


def test_first_and_second_block_equal_numpy(params, float64):
    graphdef, stacked = nnx.split(_tower(params).Transformer.encoderblock)
    tokens = np.random.default_rng(3).standard_normal((1, 9, 32))
    for index in range(2):
        block = nnx.merge(graphdef, jax.tree.map(lambda leaf, index=index: leaf[index], stacked))
        layer = oracle_numpy.take_layer(float64["Transformer"]["encoderblock"], index)
        expected = oracle_numpy.siglip_block(tokens[0], layer)
        assert relative_error(block(jnp.asarray(tokens, jnp.float32))[0], expected) < 1e-5


@pytest.mark.parametrize("head", [True, False])
def test_the_tower_equals_numpy_with_and_without_head(params, float64, image, head):
    expected_params = float64 if head else {name: leaf for name, leaf in float64.items() if name != "head"}
    expected = np.stack([oracle_numpy.siglip(np.asarray(x, np.float64), expected_params) for x in image])
    assert relative_error(_tower(params, head=head)(image), expected) < 1e-5


def test_bfloat16_computes_tokens_in_bfloat16_near_the_float32_ones(params, image):
    value_function = small_value_function(dtype="bfloat16", **WITH_HEAD)
    tower = value_function.bind({**random_params(value_function), "img": params}).img
    tokens = tower(image)
    assert tokens.dtype == jnp.bfloat16
    assert tower.embedding(image).dtype == jnp.float32
    assert 1e-4 < relative_error(tokens, _tower(params, head=True)(image)) < 0.03


def test_full_size_image_has_256_tokens():
    assert VARIANTS["So400m/14"].num_tokens == 16 * 16


def test_384_pixels_are_27_by_27_patches():
    assert VARIANTS["So400m/14-384"].num_tokens == 27 * 27


def test_pixels_behind_the_last_whole_patch_are_not_read(params, float64):
    """14 pixels, patches of 4: the tokens are those of the first 12, from the left and the top."""
    image = jnp.asarray(np.random.default_rng(5).uniform(-1, 1, (1, 14, 14, 3)), jnp.float32)
    tower = _tower(params, head=True, image_size=14)
    assert tower.config.num_tokens == 9
    without_head = {name: leaf for name, leaf in float64.items() if name != "head"}
    expected = oracle_numpy.siglip(np.asarray(image[0, :12, :12], np.float64), without_head)
    assert relative_error(_tower(params, image_size=14)(image)[0], expected) < 1e-5
    np.testing.assert_array_equal(tower(image.at[:, 12:].set(9.0).at[:, :, 12:].set(9.0)), tower(image))


def test_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(ConfigError, match="image_size: expected at least one patch of 4 pixels, got 3"):
        dataclasses.replace(SIGLIP, image_size=3)
