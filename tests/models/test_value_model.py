"""The whole value model: its tree, its numbers against a numpy oracle, and what must and must not change V."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle_numpy
from support.places import SUPPORT
from support.small_models import (
    CONFIG,
    random_jax_observation,
    random_observation,
    random_params,
    relative_error,
    small_value_function,
)

from pistar_vf.errors import ConfigError
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig, scale_pixels
from pistar_vf.params import flatten, num_parameters

NO_STATE = {"state_encoding": "none", "siglip": {"head": True}}
_LEAVES = SUPPORT / "bundle_leaves.tsv"
"""Every leaf of a published 241-leaf value checkpoint."""


@pytest.fixture(scope="module")
def params():
    return random_params(small_value_function())


@functools.cache
def _jitted(value_function: ValueFunction):
    return jax.jit(value_function.apply)


def _logits(params, observation, **overrides):
    return np.asarray(_jitted(small_value_function(**overrides))(params, observation))


def _float64(params):
    return jax.tree.map(lambda p: np.asarray(p, np.float64), params)


def _full_size(*, head: bool, state_dim: int = 0) -> ValueFunction:
    return ValueFunction(
        ValueModelConfig(
            siglip=dataclasses.replace(siglip.VARIANTS["So400m/14"], head=head),
            gemma=gemma3.VARIANTS["gemma3_270m"],
            state_dim=state_dim,
            state_encoding="token" if state_dim else "none",
        )
    )


def _full_size_tree(**kwargs):
    return flatten(_full_size(**kwargs).shapes())


def test_full_size_tree_is_the_published_checkpoints_leaf_by_leaf():
    rows = [line.split("\t") for line in _LEAVES.read_text().splitlines()[1:]]
    published = {path: tuple(int(n) for n in shape.split("x")) for path, shape in rows}
    tree = _full_size_tree(head=True)
    assert {path: leaf.shape for path, leaf in tree.items()} == published
    assert {leaf.dtype for leaf in tree.values()} == {jnp.dtype("float32")}
    assert len(tree) == 241
    assert num_parameters(tree) == 684_519_865


def test_full_size_with_state_and_without_head_adds_and_drops_exactly_these_leaves():
    tree = _full_size_tree(head=False, state_dim=29)
    assert num_parameters(tree) == 683_191_609 + 640 * 29 + 640
    assert len(tree) == 239 + 2
    assert tree["state_projection/kernel"].shape == (29, 640)
    assert not [path for path in tree if path.startswith("img/head")]


@pytest.mark.parametrize("overrides", [{}, NO_STATE])
def test_logits_equal_the_numpy_oracle(overrides):
    value_function = small_value_function(**overrides)
    params, observation = random_params(value_function), random_observation()
    observation = observation.replace(
        image_masks={"base": np.array([True, True, False]), "wrist": np.array([True, False, True])}
    )
    expected = [
        oracle_numpy.value_logits(observation, row, _float64(params), value_function.config) for row in range(3)
    ]
    logits = _jitted(value_function)(params, observation)
    assert logits.dtype == jnp.float32
    assert relative_error(logits, np.stack(expected)) < 1e-5


@pytest.mark.parametrize("masked", [("wrist",), ("base",), ("base", "wrist")])
def test_pixels_of_masked_cameras_change_nothing(params, masked):
    observation = random_observation()
    masks = {name: np.full(3, name not in masked) for name in ("base", "wrist")}
    other = {name: 255 - image if name in masked else image for name, image in observation.images.items()}
    np.testing.assert_array_equal(
        _logits(params, observation.replace(image_masks=masks)),
        _logits(params, observation.replace(image_masks=masks, images=other)),
    )


def test_a_mask_acts_on_its_own_row_only(params):
    observation = random_observation()
    masks = {"base": np.array([True, False, True]), "wrist": np.ones(3, bool)}
    changed = np.any(_logits(params, observation) != _logits(params, observation.replace(image_masks=masks)), axis=1)
    assert changed.tolist() == [False, True, False]


def test_every_valid_camera_changes_the_logits(params):
    observation = random_observation()
    for name in observation.images:
        other = {**observation.images, name: 255 - observation.images[name]}
        assert np.abs(_logits(params, observation) - _logits(params, observation.replace(images=other))).min() > 1e-6


def test_cameras_are_taken_in_sorted_order_whatever_order_they_are_named_in(params):
    observation = random_jax_observation()
    tokens, _ = small_value_function(cameras=("wrist", "base")).bind(params).embed_images(observation)
    assert list(observation.images) == ["base", "wrist"]  # JAX sorts the dicts it maps over
    reverse = observation.replace(images={name: observation.images[name] for name in ("wrist", "base")})
    again, _ = small_value_function(cameras=("base", "wrist")).bind(params).embed_images(reverse)
    np.testing.assert_array_equal(tokens, again)
    p = _float64(params)
    for index, name in enumerate(("base", "wrist")):
        expected = oracle_numpy.siglip(np.asarray(observation.images[name][0]) / 127.5 - 1.0, p["img"])
        part = tokens[0, 9 * index : 9 * (index + 1)]
        assert relative_error(part, oracle_numpy.dense(expected, p["img_projection"])) < 1e-5


def test_state_changes_the_logits(params):
    observation = random_observation()
    assert (
        np.abs(_logits(params, observation) - _logits(params, observation.replace(state=-observation.state))).min()
        > 1e-6
    )


def test_state_encoding_none_has_no_state_parameters_and_ignores_the_state():
    params = random_params(small_value_function(**NO_STATE))
    assert "state_projection" not in params
    observation = random_observation()
    without_state = _logits(params, observation.replace(state=None), **NO_STATE)
    np.testing.assert_array_equal(_logits(params, observation, **NO_STATE), without_state)


def test_prompt_changes_the_logits_but_its_padding_does_not(params):
    observation = random_observation()
    expected = _logits(params, observation)
    tokens, mask = observation.tokenized_prompt, observation.tokenized_prompt_mask
    padding_filled = observation.replace(tokenized_prompt=np.where(mask, tokens, 7).astype(np.int32))
    np.testing.assert_array_equal(_logits(params, padding_filled), expected)
    other_prompt = observation.replace(tokenized_prompt=np.where(mask, 63 - tokens, 0).astype(np.int32))
    assert np.abs(_logits(params, other_prompt) - expected).min() > 1e-6


def test_scale_pixels_maps_the_byte_range_to_minus_one_one():
    image = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(np.ravel(scale_pixels(jnp.asarray(image))), [-1.0, -0.6, 1.0], atol=1e-7)


def test_uint8_and_float_images_agree(params):
    observation = random_jax_observation()
    as_float = {name: image.astype(jnp.float32) / 127.5 - 1.0 for name, image in observation.images.items()}
    model = small_value_function().bind(params)
    expected, _ = model.embed_images(observation)
    np.testing.assert_array_equal(model.embed_images(observation.replace(images=as_float))[0], expected)


def _loss(params, *, remat: bool):
    logits = small_value_function(remat=remat).apply(params, random_jax_observation())
    return jnp.sum(jnp.sin(logits))


@pytest.fixture(scope="module")
def grads(params):
    """Flat gradients of `_loss` without remat."""
    return flatten(jax.jit(jax.grad(functools.partial(_loss, remat=False)))(params))


def test_gradient_reaches_every_leaf_but_the_embedding_table(grads):
    largest = {path: float(jnp.abs(leaf).max()) for path, leaf in grads.items()}
    assert largest.pop("llm/embedder/input_embedding") == 0.0
    # A bias on all keys moves every score of a query equally, and softmax does not see it.
    assert [path for path, size in largest.items() if size < 1e-7 and not path.endswith("key/bias")] == []


def test_remat_changes_memory_and_not_gradients(params, grads):
    with_remat = flatten(jax.jit(jax.grad(functools.partial(_loss, remat=True)))(params))
    for path, expected in grads.items():
        np.testing.assert_allclose(with_remat[path], expected, rtol=1e-4, atol=1e-5, err_msg=path)
    # One per decoder layer and one for the scanned tower.
    remat_jaxpr = str(jax.make_jaxpr(functools.partial(_loss, remat=True))(params))
    assert remat_jaxpr.count("prevent_cse=") == 2 + 1
    assert "prevent_cse=" not in str(jax.make_jaxpr(functools.partial(_loss, remat=False))(params))


def test_bfloat16_stays_near_float32_with_float32_parameters_and_logits(params):
    value_function = small_value_function(dtype="bfloat16")
    observation = random_observation()
    logits = _jitted(value_function)(params, observation)
    assert logits.dtype == jnp.float32
    assert 1e-5 < relative_error(logits, _logits(params, observation)) < 0.03
    initial = value_function.shapes()
    assert {leaf.dtype for leaf in jax.tree.leaves(initial)} == {jnp.dtype("float32")}


def test_init_depends_on_the_key_only():
    # One leaf only: compiling the random numbers of all of them takes ten seconds.
    init = jax.jit(lambda key: small_value_function().init(key)["img_projection"]["kernel"])
    first, again, other = (init(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        ({"images": {}}, r"expected images of the cameras \['base', 'wrist'\], got \[\]; pass every camera"),
        ({"image_masks": {"base": np.ones(3, bool)}}, r"image_masks has \['base'\], images has \['base', 'wrist'\]"),
        ({"state": None}, "reads a state of 5 numbers, but the observation has state=None"),
        ({"state": np.zeros((3, 4), np.float32)}, r"state: expected \[batch, 5\], got \(3, 4\)"),
        (
            {"images": {name: np.zeros((3, 16, 16, 3), np.uint8) for name in ("base", "wrist")}},
            r"image 'base': expected \[batch, 12, 12, 3\], got \(3, 16, 16, 3\)",
        ),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(params, replacement, message):
    model = small_value_function().bind(params)
    with pytest.raises(ConfigError, match=message):
        model(random_observation().replace(**replacement))


def test_a_config_without_cameras_is_refused():
    with pytest.raises(ConfigError, match="at least one camera, got none"):
        dataclasses.replace(CONFIG, cameras=())


def test_a_config_with_state_but_no_state_dim_is_refused():
    with pytest.raises(ConfigError, match=r"expects state_dim >= 1, got 0; a dataset without state needs"):
        dataclasses.replace(CONFIG, state_dim=0)


def test_what_is_kept_of_a_configuration_is_handed_out_anew():
    value_function = ValueFunction(CONFIG)
    value_function.shapes()["value_head"]["linear2"].clear()
    assert set(value_function.shapes()["value_head"]["linear2"]) == {"kernel", "bias"}
    ones, twos = ({**value_function.init(jax.random.key(0))} for _ in range(2))
    ones["value_head"] = jax.tree.map(jnp.ones_like, ones["value_head"])
    first, second = value_function.bind(ones), value_function.bind(twos)
    assert float(first.value_head.linear2.bias[0]) == 1
    assert float(second.value_head.linear2.bias[0]) == 0
