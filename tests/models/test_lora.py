"""Adapters against numpy, weight by weight, and what they must and must not change."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.small_models import (
    GEMMA,
    random_observation,
    random_params,
    relative_error,
    small_stitched,
    small_value_function,
)

from pistar_vf.errors import ConfigError
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.lora import LORA, LoraConfig, adapted_leaves, init_lora, merge_lora
from pistar_vf.models.value_config import stitched_config
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, num_parameters, unflatten

CONFIG = LoraConfig(rank=3, alpha=6.0)
PROJECTIONS = ("attn/attn_vec_einsum/w", "attn/kv_einsum/w", "attn/q_einsum/w", "mlp/gating_einsum", "mlp/linear")
HEADS, KV, DIM, RANK = GEMMA.num_heads, GEMMA.num_kv_heads, GEMMA.head_dim, 3


@pytest.fixture(scope="module")
def flat():
    return flatten(random_params(small_stitched(lora=CONFIG)))


@functools.cache
def _jitted(value_function):
    return jax.jit(value_function.apply)


def _adapter(flat, name):
    return [np.asarray(flat[f"{LORA}llm/layer_1/{name}/{part}"], np.float64) for part in "ab"]


def _expected_updates(flat):
    """A B, axis by axis of the einsum weights; the scale is 6 / 3."""
    a, b = _adapter(flat, "attn/q_einsum/w")
    updates = {"attn/q_einsum/w": np.einsum("wr,rnd->nwd", a, b.reshape(RANK, HEADS, DIM))}
    a, b = _adapter(flat, "attn/kv_einsum/w")
    updates["attn/kv_einsum/w"] = np.einsum("cwr,crkd->ckwd", a, b.reshape(2, RANK, KV, DIM))
    a, b = _adapter(flat, "attn/attn_vec_einsum/w")
    updates["attn/attn_vec_einsum/w"] = np.einsum("ndr,rw->ndw", a.reshape(HEADS, DIM, RANK), b)
    a, b = _adapter(flat, "mlp/gating_einsum")
    updates["mlp/gating_einsum"] = np.einsum("cwr,crf->cfw", a, b)
    a, b = _adapter(flat, "mlp/linear")
    updates["mlp/linear"] = a @ b
    return {name: 2.0 * update for name, update in updates.items()}


def test_merged_weights_are_the_weights_and_the_products(flat):
    merged = merge_lora(flat, CONFIG)
    assert set(merged) == {name for name in flat if not name.startswith(LORA)}
    expected = _expected_updates(flat)
    assert tuple(sorted(expected)) == PROJECTIONS
    for name, update in expected.items():
        leaf = f"llm/layer_1/{name}"
        assert relative_error(merged[leaf] - flat[leaf], update) < 1e-5
    for name in merged.keys() - {f"llm/layer_{i}/{name}" for i in range(2) for name in PROJECTIONS}:
        assert merged[name] is flat[name]


def test_merged_for_good_the_outputs_are_the_same(flat):
    adapted, plain = small_stitched(lora=CONFIG), small_stitched()
    logits = _jitted(adapted)(unflatten(flat), random_observation())
    merged = _jitted(plain)(unflatten(merge_lora(flat, CONFIG)), random_observation())
    assert relative_error(logits, merged) < 1e-6
    without = {name: leaf for name, leaf in flat.items() if not name.startswith(LORA)}
    assert relative_error(logits, _jitted(plain)(unflatten(without), random_observation())) > 1e-2


@pytest.mark.parametrize("create", [small_stitched, small_value_function])
def test_fresh_adapters_change_nothing(create):
    params = random_params(create())
    fresh = init_lora(jax.random.key(0), flatten(params), CONFIG)
    assert all(np.any(leaf) == name.endswith("/a") for name, leaf in fresh.items())
    with_fresh = unflatten({**flatten(params), **fresh})
    observation = random_observation()
    np.testing.assert_array_equal(
        _jitted(create(lora=CONFIG))(with_fresh, observation), _jitted(create())(params, observation)
    )


def test_fresh_adapters_have_the_variance_of_one_over_their_inputs():
    shapes = {"llm/layer_0/mlp/linear": jax.ShapeDtypeStruct((400, 20), jnp.float32)}
    config = LoraConfig(rank=100)
    a = init_lora(jax.random.key(0), shapes, config)[f"{LORA}llm/layer_0/mlp/linear/a"]
    assert a.shape == (400, 100)
    assert float(jnp.std(a)) == pytest.approx(1 / 20, rel=0.02)


def test_init_adds_adapters_and_leaves_the_other_leaves_as_they_were():
    plain, adapted = small_stitched(), small_stitched(lora=CONFIG)
    leaf = "img_projection"
    # One part only: compiling the random numbers of all of them takes ten seconds.
    expected, found = (jax.jit(lambda key, v=v: v.init(key)[leaf])(jax.random.key(5)) for v in (plain, adapted))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    shapes = [flatten(v.shapes()) for v in (plain, adapted)]
    new = {name: leaf.shape for name, leaf in shapes[1].items() if name not in shapes[0]}
    assert {name.removeprefix("lora/llm/layer_0/"): s for name, s in new.items() if "layer_0" in name} == {
        "attn/attn_vec_einsum/w/a": (64, 3),
        "attn/attn_vec_einsum/w/b": (3, 48),
        "attn/kv_einsum/w/a": (2, 48, 3),
        "attn/kv_einsum/w/b": (2, 3, 32),
        "attn/q_einsum/w/a": (48, 3),
        "attn/q_einsum/w/b": (3, 64),
        "mlp/gating_einsum/a": (2, 48, 3),
        "mlp/gating_einsum/b": (2, 3, 56),
        "mlp/linear/a": (56, 3),
        "mlp/linear/b": (3, 48),
    }
    assert len(new) == 2 * 10


def test_full_size_adapters_of_rank_8_have_a_hundred_thousand_numbers_a_layer():
    config = stitched_config(siglip.VARIANTS["So400m/14-384"], gemma3.VARIANTS["gemma3_270m"], state_dim=29)
    shapes = flatten(ValueFunction(config).shapes())
    adapters = jax.eval_shape(lambda: init_lora(jax.random.key(0), shapes, LoraConfig()))
    per_layer = 8 * ((640 + 1024) + 2 * (640 + 256) + (1024 + 640) + 2 * (640 + 2048) + (2048 + 640))
    assert num_parameters(adapters) == 18 * per_layer == 1_898_496


def test_targets_choose_among_the_projections():
    names = flatten(small_stitched().shapes())
    assert adapted_leaves(names, LoraConfig()) == [f"llm/layer_{i}/{name}" for i in range(2) for name in PROJECTIONS]
    only = LoraConfig(targets=r"llm/layer_1/attn/(q|kv)_einsum/w")
    assert adapted_leaves(names, only) == ["llm/layer_1/attn/kv_einsum/w", "llm/layer_1/attn/q_einsum/w"]


def test_gradients_of_fresh_and_of_used_adapters(flat):
    value_function = small_stitched(lora=CONFIG)

    def loss(adapters, flat, observation):
        return jnp.sum(jnp.sin(value_function.apply(unflatten({**flat, **adapters}), observation)))

    grad = jax.jit(jax.grad(loss))
    used = {name: leaf for name, leaf in flat.items() if name.startswith(LORA)}
    assert min(float(jnp.abs(leaf).max()) for leaf in grad(used, flat, random_observation()).values()) > 1e-7
    fresh = {name: leaf * 0 if name.endswith("/b") else leaf for name, leaf in used.items()}
    for name, leaf in grad(fresh, flat, random_observation()).items():
        # With B = 0 nothing depends on A yet.
        assert bool(np.any(leaf)) == name.endswith("/b"), name


def test_dropout_hides_whole_inputs_and_scales_the_others_up():
    """W = 0, A and B of ones, rank 1, scale 2, rate 1/4: an input's row is 0 or 2 / (3/4)."""
    name = "llm/layer_0/mlp/linear"
    flat = {
        name: jnp.zeros((1000, 5)),
        f"{LORA}{name}/a": jnp.ones((1000, 1)),
        f"{LORA}{name}/b": jnp.ones((1, 5)),
    }
    config = LoraConfig(rank=1, alpha=2.0, dropout=0.25)
    weights = np.asarray(merge_lora(flat, config, jax.random.key(0))[name])
    assert np.all(weights == weights[:, :1])
    np.testing.assert_allclose(np.unique(weights), [0.0, 2 / 0.75], rtol=1e-6)
    assert np.mean(weights[:, 0] == 0.0) == pytest.approx(0.25, abs=0.05)
    assert np.any(weights != merge_lora(flat, config, jax.random.key(1))[name])
    np.testing.assert_array_equal(merge_lora(flat, config)[name], np.full((1000, 5), 2.0))


def test_every_adapter_draws_its_own_dropout():
    first, second = "llm/layer_0/mlp/linear", "llm/layer_1/mlp/linear"
    flat = {name: jnp.zeros((100, 5)) for name in (first, second)}
    flat |= {f"{LORA}{name}/a": jnp.ones((100, 1)) for name in (first, second)}
    flat |= {f"{LORA}{name}/b": jnp.ones((1, 5)) for name in (first, second)}
    merged = merge_lora(flat, LoraConfig(rank=1, dropout=0.5), jax.random.key(0))
    assert np.any(merged[first] != merged[second])


def test_dropout_acts_in_training_only(flat):
    value_function = small_stitched(lora=LoraConfig(rank=3, alpha=6.0, dropout=0.5))
    logits = _jitted(value_function)(unflatten(flat), random_observation())
    np.testing.assert_array_equal(logits, _jitted(small_stitched(lora=CONFIG))(unflatten(flat), random_observation()))
    dropped = _jitted(value_function)(unflatten(flat), random_observation(), jax.random.key(0))
    assert relative_error(dropped, logits) > 1e-3


def test_weights_held_in_bfloat16_get_their_update_in_float32(flat):
    name = "llm/layer_1/mlp/linear"
    held = {**flat, name: flat[name].astype(jnp.bfloat16)}
    merged = merge_lora(held, CONFIG)[name]
    assert merged.dtype == jnp.float32
    assert relative_error(merged - held[name].astype(jnp.float32), _expected_updates(flat)["mlp/linear"]) < 1e-5


def test_targets_that_fit_nothing_are_refused():
    value_function = small_stitched(lora=LoraConfig(targets="q_proj"))
    message = (
        r"lora targets 'q_proj': expected a pattern of whole names such as llm/layer_0/attn/attn_vec_einsum/w, .*fits"
    )
    with pytest.raises(ConfigError, match=message):
        value_function.shapes()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": 0}, "lora rank: expected 1 or more, got 0"),
        ({"dropout": 1.0}, r"lora dropout: expected a probability in \[0, 1\), got 1.0"),
        ({"targets": "("}, r"lora targets: expected a regular expression, got '\(': missing \)"),
    ],
)
def test_settings_that_cannot_work(fields, message):
    with pytest.raises(ConfigError, match=message):
        LoraConfig(**fields)
