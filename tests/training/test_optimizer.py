"""Freeze modes on the full-size tree, the schedule by hand, AdamW against numpy."""

import functools
import inspect

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pistar_vf.errors import ConfigError
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import flatten, num_parameters
from pistar_vf.training.optimizer import B1, B2, EPS, create_optimizer, create_schedule, is_trainable
from pistar_vf.training.settings import OptimizerSettings


@functools.cache
def _full_size_tree():
    config = ValueModelConfig(
        siglip=siglip.VARIANTS["So400m/14"], gemma=gemma3.VARIANTS["gemma3_270m"], state_encoding="none"
    )
    return flatten(ValueFunction(config).shapes())


def _trainable(freeze_mode):
    return {path: leaf for path, leaf in _full_size_tree().items() if is_trainable(path, freeze_mode)}


def test_all_backbones_leaves_18_leaves_of_projection_cross_attention_and_head():
    trainable = _trainable("all_backbones")
    assert len(trainable) == 18
    assert {path.split("/")[0] for path in trainable} == {
        "img_projection",
        "cross_attention",
        "cross_attn_norm",
        "value_head",
    }
    projection = 1152 * 640 + 640
    cross_attention = 4 * (640 * 640 + 640)
    head = 640 * 320 + 320 + 320 * 201 + 201
    norms = 2 * 2 * 640
    assert num_parameters(trainable) == projection + cross_attention + head + norms == 2_651_081


def test_siglip_only_freezes_the_tower_and_the_embedding_table_but_not_the_projection():
    frozen = _full_size_tree().keys() - _trainable("siglip_only").keys()
    tower = {path for path in _full_size_tree() if path.split("/")[0] == "img"}
    assert frozen == tower | {"llm/embedder/input_embedding"}


def test_none_freezes_the_embedding_table_alone():
    assert _full_size_tree().keys() - _trainable("none").keys() == {"llm/embedder/input_embedding"}


def test_all_but_projector_trains_the_projector_alone():
    """Neither heads, nor fusion, nor adapters; every other mode trains adapters."""
    assert {path.split("/")[0] for path in _trainable("all_but_projector")} == {"img_projection"}
    adapter = "lora/llm/layer_0/attn/q_einsum/w/a"
    modes = ("none", "siglip_only", "all_backbones", "all_but_projector", "all_but_head")
    assert [is_trainable(adapter, mode) for mode in modes] == [True, True, True, False, False]


def test_all_but_head_trains_the_value_head_alone():
    assert {path.split("/")[0] for path in _trainable("all_but_head")} == {"value_head"}


def test_the_state_projection_is_trained_in_every_mode():
    assert all(is_trainable("state_projection/kernel", mode) for mode in ("none", "siglip_only", "all_backbones"))


def test_an_unknown_freeze_mode_is_refused():
    unchecked = inspect.unwrap(is_trainable)  # without the type check that only tests run under
    with pytest.raises(ConfigError, match=r"--freeze_mode: expected one of \('none', .*\), got 'everything'"):
        unchecked("img/embedding/kernel", "everything")


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1e-3 / 11),
        (5, (1e-3 / 11 + 1e-3) / 2),
        (10, 1e-3),
        # The cosine runs over steps 10 … 100: the warm-up's 10 steps are missing at its end.
        (55, (1e-3 + 1e-4) / 2),
        (100, 1e-4),
        (109, 1e-4),
    ],
)
def test_schedule_at_named_steps(step, expected):
    schedule = create_schedule(OptimizerSettings(peak_lr=1e-3, decay_lr=1e-4, warmup_steps=10), num_train_steps=110)
    np.testing.assert_allclose(schedule(step), expected, rtol=1e-5)


@pytest.mark.parametrize(("num_train_steps", "warmup"), [(30_000, 1000), (10_000, 1000), (500, 50), (5, 0)])
def test_automatic_warmup_is_a_tenth_of_the_run_and_at_most_1000_steps(num_train_steps, warmup):
    config = OptimizerSettings()
    schedule = create_schedule(config, num_train_steps)
    # optax loses digits to a difference near the peak; dividing by `warmup` instead would be off by 1e-3.
    np.testing.assert_allclose(schedule(0), config.peak_lr / (warmup + 1), rtol=1e-4)
    np.testing.assert_allclose(schedule(warmup), config.peak_lr, rtol=1e-6)
    assert schedule(num_train_steps - 1) < config.peak_lr


@pytest.mark.parametrize(("num_train_steps", "warmup"), [(1, 5), (10, 5), (6, 100)])
def test_a_run_without_room_for_the_decay_is_all_warmup(num_train_steps, warmup):
    schedule = create_schedule(OptimizerSettings(peak_lr=1.0, warmup_steps=warmup), num_train_steps)
    rates = np.array([float(schedule(step)) for step in range(warmup + 1)])
    np.testing.assert_allclose(np.diff(rates), (1 - 1 / (warmup + 1)) / warmup, rtol=1e-3)
    assert rates[-1] == pytest.approx(1.0)


def _numpy_adamw(params, grads_per_step, config, rates):
    mean = variance = np.zeros_like(params)
    for step, (grads, rate) in enumerate(zip(grads_per_step, rates), start=1):
        norm = np.sqrt((grads**2).sum())
        grads = grads * min(1.0, config.grad_clip_norm / norm)
        mean = B1 * mean + (1 - B1) * grads
        variance = B2 * variance + (1 - B2) * grads**2
        direction = mean / (1 - B1**step) / (np.sqrt(variance / (1 - B2**step)) + EPS)
        params = params - rate * (direction + config.weight_decay * params)
    return params


@pytest.mark.parametrize("scale", [0.01, 10.0])
def test_three_steps_equal_numpy_adamw_below_and_above_the_clip(scale):
    config = OptimizerSettings(peak_lr=0.1, decay_lr=0.01, warmup_steps=2, weight_decay=0.3)
    rng = np.random.default_rng(0)
    params, grads = rng.standard_normal(6), scale * rng.standard_normal((3, 6))
    tx = create_optimizer(config, num_train_steps=20)
    # Two leaves: the clip is by the norm of both together.
    tree = {"a": jnp.asarray(params[:2], jnp.float32), "b": jnp.asarray(params[2:], jnp.float32)}
    state = tx.init(tree)
    for grad in grads:
        updates, state = tx.update({"a": jnp.asarray(grad[:2]), "b": jnp.asarray(grad[2:])}, state, tree)
        tree = optax.apply_updates(tree, updates)
    rates = [0.1 / 3, 0.1 / 3 + (0.1 - 0.1 / 3) / 2, 0.1]
    expected = _numpy_adamw(params, grads, config, rates)
    np.testing.assert_allclose(np.concatenate([tree["a"], tree["b"]]), expected, rtol=1e-5)
