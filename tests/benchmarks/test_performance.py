"""What benchmarks/performance.py reckons with. Oracle for operations: the matrix products in JAX's own trace."""

import math

import jax
import numpy as np
import pytest
from speed import counts
from speed.full_model import full_config
from speed.timing import Times, in_turn
from support.small_models import random_observation, small_value_function

from pistar_vf.batch import ValueBatch
from pistar_vf.params import flatten
from pistar_vf.training.state import split_params
from pistar_vf.training.step import value_loss_fn


def operations(jaxpr) -> float:
    """Of all matrix products, two per multiplication; those of a scan once per round."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)
        rounds = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += rounds * sum(map(operations, inner_traces(equation.params)))
    return total


def inner_traces(params):
    """Traces of functions among an operation's parameters."""
    for value in params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            trace = getattr(each, "jaxpr", each)
            if hasattr(trace, "eqns"):
                yield trace


MODEL = small_value_function()
BATCH = 3


def traced_step(model, freeze_mode, observation):
    loss_fn = value_loss_fn(model, augment=False)
    trainable, frozen = split_params(flatten(model.shapes()), freeze_mode)
    batch = ValueBatch(observation, np.zeros(BATCH, np.float32), np.zeros(BATCH, np.int32))

    def step(trainable, frozen):
        return jax.grad(lambda own: loss_fn({**frozen, **own}, batch, jax.random.key(0))[0])(trainable)

    return operations(jax.make_jaxpr(step)(trainable, frozen).jaxpr) / BATCH


@pytest.mark.parametrize("fields", [{}, {"siglip": {"image_size": 16}, "image_pool": 2}])
def test_operations_of_a_forward_pass(fields):
    model = small_value_function(**fields)
    observation = random_observation(batch=BATCH, image_size=model.config.siglip.image_size)
    traced = jax.make_jaxpr(lambda params: model.apply(params, observation))(model.shapes())
    assert sum(counts.forward(model.config).values()) == operations(traced.jaxpr) / BATCH


@pytest.mark.parametrize("freeze_mode", ["all_backbones", "siglip_only", "none"])
def test_operations_of_a_step(freeze_mode):
    expected = traced_step(MODEL, freeze_mode, random_observation(batch=BATCH))
    assert counts.step(MODEL.config, freeze_mode) == expected


def test_operations_of_a_step_on_cached_tokens():
    observation = random_observation(batch=BATCH)
    shape = (BATCH, MODEL.config.num_image_tokens, MODEL.config.siglip.width)
    tokens = {name: np.zeros(shape, np.float32) for name in observation.images}
    cached = observation.replace(images={}, image_tokens=tokens)
    expected = traced_step(MODEL, "all_backbones", cached)
    assert counts.step(MODEL.config, "all_backbones", cached=True) == expected


def test_the_published_sizes():
    """574 and 733 GFLOP, as reckoned before there was this function."""
    config = full_config()
    assert sum(counts.forward(config).values()) / 1e9 == pytest.approx(574, rel=0.01)
    assert counts.step(config, "all_backbones") / 1e9 == pytest.approx(733, rel=0.01)


def test_programs_take_turns():
    order = []
    programs = {"a": lambda: order.append("a"), "b": lambda: order.append("b") or 4.0}
    times = in_turn(programs, 3, say=False)
    assert order == ["a", "b"] * 3
    assert [len(each) for each in (*times.processor.values(), *times.clock.values(), times.load)] == [3] * 5


def test_a_stop_leaves_the_whole_rounds():
    calls = []

    def stopping():
        calls.append(1)
        if len(calls) == stop_at:
            raise KeyboardInterrupt

    stop_at = 3
    times = in_turn({"a": lambda: None, "b": stopping}, 5, say=False)
    assert [len(each) for each in (*times.processor.values(), *times.clock.values(), times.load)] == [2] * 5
    stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        in_turn({"b": stopping}, 5, say=False)


def test_ratios_are_of_the_same_round():
    times = Times({"slow": [4.0, 90.0, 6.0], "fast": [2.0, 30.0, 2.0]}, {"slow": [1.0], "fast": [1.0]}, [0.5])
    assert times.ratio("slow", "fast") == 3.0
    assert times.median("slow") == 6.0
    assert times.facts()["processor_seconds"] == {"slow": 6.0, "fast": 2.0}


def test_a_unit_of_work_is_what_counts():
    """A program that says it did 1000 units is a thousandth of what it took."""
    one, many = (in_turn({"a": lambda n=n: sum(range(300_000)) and n}, 3, say=False) for n in (1, 1000))
    assert many.median("a") < one.median("a") / 100
