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


def test_every_camera_needs_its_tokens():
    model = small_value_function()
    observation = random_observation()
    names = sorted(observation.images)
    tokens = {names[0]: np.zeros((3, model.config.siglip.num_tokens, model.config.siglip.width), np.float32)}
    with pytest.raises(ConfigError, match=f"expected images of the cameras .*{names[1]}.*, got"):
        model.apply(random_params(model), observation.replace(images={}, image_tokens=tokens))
