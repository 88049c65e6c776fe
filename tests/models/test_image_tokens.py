"""Tokens of the vision tower in the place of pictures. Oracle: the model on the pictures themselves."""

import jax
import numpy as np
import pytest
from support.small_models import random_observation, random_params, small_stitched, small_value_function

from pistar_vf.errors import ConfigError


@pytest.mark.parametrize("create", [small_value_function, small_stitched])
def test_the_same_value_from_tokens_as_from_pictures(create):
    model = create()
    params = random_params(model)
    observation = random_observation()
    encode = jax.jit(model.encode_images)
    tokens = {name: np.asarray(encode(params["img"], image)) for name, image in observation.images.items()}
    from_tokens = observation.replace(images={}, image_tokens=tokens)
    expected, found = (jax.jit(model.apply)(params, own) for own in (observation, from_tokens))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("create", [small_value_function, small_stitched])
def test_pooled_tokens_are_means_of_squares(create):
    """Oracle: numpy's means over the tokens of the same tower, put in its place into a model that pools nothing."""
    model = create(siglip={"image_size": 16}, image_pool=2)
    plain = create(siglip={"image_size": 16})
    params, observation = random_params(model), random_observation(image_size=16)
    whole = {name: np.asarray(plain.encode_images(params["img"], image)) for name, image in observation.images.items()}
    pooled = {name: squares(tokens) for name, tokens in whole.items()}
    assert model.config.num_image_tokens == 4
    assert {tokens.shape[1] for tokens in pooled.values()} == {4}
    for name, image in observation.images.items():
        np.testing.assert_allclose(model.encode_images(params["img"], image), pooled[name], rtol=1e-5, atol=1e-6)
    expected = jax.jit(plain.apply)(params, observation.replace(images={}, image_tokens=pooled))
    np.testing.assert_allclose(jax.jit(model.apply)(params, observation), expected, rtol=1e-5, atol=1e-5)


def squares(tokens):
    """Of a grid of 4 × 4 tokens the means over its four quarters."""
    grid = tokens.reshape(-1, 4, 4, tokens.shape[-1])
    quarters = [grid[:, r : r + 2, c : c + 2].mean(axis=(1, 2)) for r in (0, 2) for c in (0, 2)]
    return np.stack(quarters, axis=1)


def test_a_grid_that_does_not_divide_into_squares():
    with pytest.raises(ConfigError, match="--image_pool: expected a divisor of 3, as an image of 12 pixels has 3 × 3"):
        small_value_function(image_pool=2)


def test_every_camera_needs_its_tokens():
    model = small_value_function()
    observation = random_observation()
    names = sorted(observation.images)
    tokens = {names[0]: np.zeros((3, model.config.siglip.num_tokens, model.config.siglip.width), np.float32)}
    with pytest.raises(ConfigError, match=f"expected images of the cameras .*{names[1]}.*, got"):
        model.apply(random_params(model), observation.replace(images={}, image_tokens=tokens))
