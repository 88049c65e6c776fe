"""The tower of keypoints, against `jax.lax` and numpy, and a whole run with it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pistar_vf.batch import Observation
from pistar_vf.errors import CheckpointError
from pistar_vf.models.keypoint_tower import soft_argmax
from pistar_vf.models.sizes import GEMMA_VARIANTS, SIGLIP_VARIANTS
from pistar_vf.models.value_config import ValueModelConfig
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, unflatten

VARIANT = "keypoints/64"
CAMERAS = ("base_0_rgb", "left_wrist_0_rgb")


@pytest.fixture(scope="module")
def function():
    towers = SIGLIP_VARIANTS[VARIANT], GEMMA_VARIANTS["gemma3_tiny"]
    return ValueFunction(ValueModelConfig(*towers, cameras=CAMERAS, state_dim=3, max_token_len=4))


@pytest.fixture(scope="module")
def params(function):
    return function.init(jax.random.key(0))


@pytest.fixture(scope="module")
def observation():
    rng = np.random.default_rng(0)
    images = {name: jnp.asarray(rng.integers(0, 256, (2, 64, 64, 3)), jnp.uint8) for name in CAMERAS}
    return Observation(
        images=images,
        image_masks={name: jnp.ones(2, bool) for name in CAMERAS},
        state=jnp.asarray(rng.standard_normal((2, 3)), jnp.float32),
        tokenized_prompt=jnp.ones((2, 4), jnp.int32),
        tokenized_prompt_mask=jnp.ones((2, 4), bool),
    )


def test_the_place_of_a_peak():
    maps = np.zeros((1, 5, 9, 2), np.float32)
    maps[0, 0, 8, 0] = maps[0, 3, 2, 1] = 100.0
    np.testing.assert_allclose(soft_argmax(jnp.asarray(maps)), [[-1.0, 1.0, 0.5, -0.5]], atol=1e-6)


def normalised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def test_against_convolutions_written_out(function, params, observation):
    """By `jax.lax` in float32 and numpy in float64."""

    def convolved(number: int, x: np.ndarray, stride: int) -> np.ndarray:
        own = params["img"][f"conv_{number}"]
        found = jax.lax.conv_general_dilated(
            jnp.asarray(x, jnp.float32),
            jnp.asarray(own["kernel"]),
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest",
        )
        return np.asarray(found, np.float64) + np.asarray(own["bias"], np.float64)

    image = observation.images["base_0_rgb"]
    x = np.asarray(image, np.float64) / 127.5 - 1
    x = np.maximum(normalised(convolved(0, x, 2)), 0)
    x = np.maximum(normalised(convolved(1, x, 2)), 0)
    maps = convolved(3, x + np.maximum(normalised(convolved(2, x, 1)), 0), 1)
    weight = np.exp(maps - maps.max((1, 2), keepdims=True))
    weight /= weight.sum((1, 2), keepdims=True)
    steps = np.linspace(-1, 1, 16)
    down, right = np.einsum("bhwc,h->bc", weight, steps), np.einsum("bhwc,w->bc", weight, steps)
    expected = np.stack([down, right], axis=-1).reshape(2, 1, 64)
    np.testing.assert_allclose(function.encode_images(params["img"], image), expected, atol=1e-4)


def test_one_token_of_each_camera(function, params, observation):
    """And the tokens of the feature cache are those of the pictures."""
    assert function.config.num_image_tokens == 1
    tokens, valid = function.bind(params).embed_images(observation)
    assert tokens.shape == (2, 2, 96)
    assert valid.all()
    known = {name: function.encode_images(params["img"], image) for name, image in observation.images.items()}
    cached = observation.replace(images={}, image_tokens=known)
    np.testing.assert_allclose(function.apply(params, cached), function.apply(params, observation), atol=1e-5)


def test_every_convolution_learns(function, params, observation):
    def loss(own):
        return (function.apply(own, observation)[:, :3] ** 2).sum()

    # The head's last layer starts at nought, and would hide everything before it.
    flat = flatten(params)
    last = next(
        name for name in flat if name.startswith("value_head") and not np.any(flat[name]) and flat[name].ndim == 2
    )
    moved = {**flat, last: jax.random.normal(jax.random.key(1), flat[last].shape)}
    gradient = flatten(jax.grad(loss)(unflatten(moved)))
    for number in range(4):
        assert np.abs(gradient[f"img/conv_{number}/kernel"]).max() > 0


@pytest.mark.usefixtures("small_and_fast")
def test_a_run_with_it_is_restored(tiny_dataset, frame_cache_dir, tmp_path):
    from pistar_vf.inference.predictor import load_value_model
    from pistar_vf.recipes.run import run_training
    from pistar_vf.testing.tiny import tiny_train_config
    from pistar_vf.weights.convert import convert_weights

    config = tiny_train_config(tiny_dataset, tmp_path / "run", cache_dir=frame_cache_dir, siglip_variant=VARIANT)
    checkpoint = run_training(config)
    model = load_value_model(checkpoint)
    assert model.spec.model.siglip == dataclasses.replace(SIGLIP_VARIANTS[VARIANT], image_size=28)
    for layout in ("bundle", "base", "huggingface"):
        with pytest.raises(CheckpointError, match=f"--to {layout}: it holds a SigLIP tower"):
            convert_weights([checkpoint], tmp_path / layout, layout, model.spec.model)
        assert not (tmp_path / layout).exists()
