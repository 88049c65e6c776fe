"""The stitched architecture: its sizes, its numbers against numpy, and what the last token of the prompt sees."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from support import oracle_numpy
from support.small_models import (
    CONFIG,
    random_observation,
    random_params,
    relative_error,
    small_stitched,
    small_value_function,
)

from pistar_vf.errors import ConfigError
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_config import ARCHITECTURES, stitched_config
from pistar_vf.models.value_head import last_hidden, mean_hidden
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, num_parameters
from pistar_vf.testing.tiny import tiny_model_config, tiny_stitched_config

NO_STATE = {"state_encoding": "none"}


@pytest.fixture(scope="module")
def params():
    return random_params(small_stitched())


@functools.cache
def _jitted(value_function: ValueFunction):
    return jax.jit(value_function.apply)


def _logits(params, observation, **overrides):
    return np.asarray(_jitted(small_stitched(**overrides))(params, observation))


def _with_masked_cameras():
    """Both cameras; the last one masked, which leaves a gap; the first one masked."""
    masks = {"base": np.array([True, True, False]), "wrist": np.array([True, False, True])}
    return random_observation().replace(image_masks=masks)


def test_full_size_parts_are_as_large_as_the_published_table_says():
    """About 400 M, 270 M and 130 K there. Its 1.5 M for the projector are not 1152→1152→640, which is 2.07 M."""
    config = stitched_config(siglip.VARIANTS["So400m/14-384"], gemma3.VARIANTS["gemma3_270m"], **NO_STATE)
    tree = flatten(ValueFunction(config).shapes())
    sizes = {}
    for name, leaf in tree.items():
        part = name.split("/")[0]
        sizes[part] = sizes.get(part, 0) + leaf.size
    assert sizes == {
        "img": 412_987_248,
        "img_projection": 1152 * 1152 + 1152 + 1152 * 640 + 640,
        "llm": 268_098_176,
        "value_head": 640 * 201 + 201,
    }
    assert num_parameters(tree) == 683_280_441
    assert tree["img/pos_embedding"].shape == (1, 729, 1152)
    assert tree["value_head/kernel"].shape == (640, 201)


@pytest.mark.parametrize("overrides", [{}, NO_STATE])
def test_logits_equal_the_numpy_oracle(overrides):
    value_function = small_stitched(**overrides)
    params, observation = random_params(value_function), _with_masked_cameras()
    float64 = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    expected = [
        oracle_numpy.stitched_value_logits(observation, row, float64, value_function.config) for row in range(3)
    ]
    logits = _jitted(value_function)(params, observation)
    assert logits.dtype == jnp.float32
    assert relative_error(logits, np.stack(expected)) < 1e-5


def test_a_masked_camera_is_a_camera_that_was_never_there(params):
    observation = random_observation()
    masks = {"base": np.ones(3, bool), "wrist": np.zeros(3, bool)}
    without = observation.replace(
        images={"base": observation.images["base"]}, image_masks={"base": observation.image_masks["base"]}
    )
    masked = _logits(params, observation.replace(image_masks=masks))
    assert relative_error(masked, _logits(params, without, cameras=("base",))) < 1e-5
    assert relative_error(masked, _logits(params, observation)) > 1e-3


def test_more_room_for_the_prompt_changes_nothing(params):
    observation = random_observation()
    wider = observation.replace(
        tokenized_prompt=np.pad(observation.tokenized_prompt, ((0, 0), (0, 5)), constant_values=7),
        tokenized_prompt_mask=np.pad(observation.tokenized_prompt_mask, ((0, 0), (0, 5))),
    )
    assert relative_error(_logits(params, wider), _logits(params, observation)) < 1e-5


def test_prompt_state_and_every_camera_reach_the_last_token(params):
    observation = random_observation()
    expected = _logits(params, observation)
    tokens, mask = observation.tokenized_prompt, observation.tokenized_prompt_mask
    others = [
        observation.replace(state=-observation.state),
        observation.replace(tokenized_prompt=np.where(mask, 63 - tokens, 0).astype(np.int32)),
        *(observation.replace(images={**observation.images, n: 255 - observation.images[n]}) for n in CONFIG.cameras),
    ]
    for other in others:
        assert np.abs(_logits(params, other) - expected).min() > 1e-6


def test_gradient_reaches_every_leaf_but_the_embedding_table(params):
    def loss(params, observation):
        return jnp.sum(jnp.sin(small_stitched().apply(params, observation)))

    grads = flatten(jax.jit(jax.grad(loss))(params, random_observation()))
    largest = {path: float(jnp.abs(leaf).max()) for path, leaf in grads.items()}
    assert largest.pop("llm/embedder/input_embedding") == 0.0
    # A bias on all keys moves every score of a query equally, and softmax does not see it.
    assert [path for path, size in largest.items() if size < 1e-7 and not path.endswith("key/bias")] == []


def test_every_value_starts_as_the_uniform_distribution():
    value_function = ValueFunction(tiny_stitched_config())
    shapes = flatten(value_function.shapes())
    assert shapes["value_head/kernel"].shape == (32, 201)
    assert shapes["img_projection/linear1/kernel"].shape == (16, 16)
    head = jax.jit(lambda key: value_function.init(key)["value_head"])(jax.random.key(1))
    assert not np.any(head["kernel"])
    assert not np.any(head["bias"])


def test_architectures_by_name():
    sizes = {"siglip": CONFIG.siglip, "gemma": CONFIG.gemma, "state_dim": 3}
    stitched = ARCHITECTURES["stitched"](**sizes)
    assert (stitched.projector, stitched.fusion, stitched.readout, stitched.head) == (
        "mlp",
        "none",
        "last_token",
        "linear",
    )
    assert not stitched.gemma.bidirectional
    assert stitched.has_language
    pistar = ARCHITECTURES["pistar"](**sizes)
    assert (pistar.projector, pistar.fusion, pistar.readout, pistar.head) == (
        "linear",
        "cross_attention",
        "mean",
        "mlp",
    )
    assert not pistar.has_language


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"projector": "mlp"}, {"img_projection/linear1", "img_projection/linear2"}),
        ({"fusion": "none"}, set()),
        ({"head": "linear"}, {"value_head/kernel", "value_head/bias"}),
        ({"readout": "last_token"}, set()),
    ],
)
def test_each_part_can_be_chosen_alone(change, parts):
    """The pistar model with one part exchanged: which leaves are new, and that it runs."""
    plain, changed = (small_value_function(**c).shapes() for c in ({}, change))
    new = flatten(changed).keys() - flatten(plain).keys()
    assert {"/".join(name.split("/")[:2]) for name in new} == parts
    assert ("cross_attention" in changed) == (change != {"fusion": "none"})
    logits = jax.eval_shape(small_value_function(**change).apply, changed, random_observation())
    assert logits.shape == (3, 11)


def test_readout_literals():
    hidden = jnp.arange(8.0).reshape(2, 4, 1)
    valid = jnp.array([[True, False, True, False], [True, True, True, True]])
    np.testing.assert_array_equal(last_hidden(hidden, valid)[:, 0], [2.0, 7.0])
    np.testing.assert_array_equal(mean_hidden(hidden, valid)[:, 0], [1.0, 5.5])


@pytest.mark.parametrize("field", ["state_encoding", "projector", "fusion", "readout", "head"])
def test_a_part_that_does_not_exist_is_refused(field, monkeypatch):
    # The tests' own type checks would refuse it first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ConfigError, match=rf"{field}: expected one of \('\w+', '\w+'\), got 'conv'"):
        dataclasses.replace(tiny_model_config(), **{field: "conv"})
