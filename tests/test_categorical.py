"""The categorical distribution against hand-computed literals, numpy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from pistar_vf.categorical import Support, cross_entropy, entropy, expected_value, one_hot, two_hot
from pistar_vf.errors import ConfigError

SUPPORT = Support()
FIVE = Support(v_min=-1.0, v_max=0.0, num_atoms=5)
"""Atoms -1, -0.75, -0.5, -0.25, 0."""


def _numpy_two_hot(values, support):
    """Float64, one value at a time, by distances to the atoms around it."""
    atoms = np.linspace(support.v_min, support.v_max, support.num_atoms)
    probs = np.zeros((len(values), support.num_atoms))
    for row, value in zip(probs, np.clip(values, support.v_min, support.v_max)):
        above = min(max(int(np.searchsorted(atoms, value)), 1), support.num_atoms - 1)
        share = (value - atoms[above - 1]) / (atoms[above] - atoms[above - 1])
        row[above - 1], row[above] = 1 - share, share
    return probs


def _logits(seed=0, shape=(3, 201)):
    return np.random.default_rng(seed).normal(scale=3.0, size=shape).astype(np.float32)


def test_atoms_are_evenly_spaced_and_hold_both_ends():
    atoms = np.asarray(SUPPORT.atoms)
    assert atoms.dtype == np.float32
    assert (atoms[0], atoms[-1], len(atoms)) == (-1.0, 0.0, 201)
    np.testing.assert_allclose(np.diff(atoms), 0.005, atol=1e-7)


def test_two_hot_literal():
    probs = np.asarray(two_hot(jnp.float32(-0.503), SUPPORT))
    assert np.flatnonzero(probs).tolist() == [99, 100]
    np.testing.assert_allclose(probs[[99, 100]], [0.6, 0.4], atol=2e-5)


@pytest.mark.parametrize(("value", "atom"), [(-1.0, 0), (-0.75, 1), (-0.25, 3), (0.0, 4)])
def test_two_hot_of_an_atom_is_one_hot(value, atom):
    np.testing.assert_array_equal(two_hot(jnp.float32(value), FIVE), np.eye(5)[atom])


@pytest.mark.parametrize("encode", [one_hot, two_hot])
def test_an_unknown_value_is_no_failure(encode):
    """A NaN was once -1: an integer made of it is 0, the lowest atom."""
    assert np.isnan(np.asarray(encode(jnp.array([jnp.nan, -0.5]), FIVE))).tolist() == [[True] * 5, [False] * 5]


@pytest.mark.parametrize(("value", "atom"), [(-7.0, 0), (-1.001, 0), (0.001, 4), (3e38, 4), (-np.inf, 0)])
def test_two_hot_clips_to_the_support(value, atom):
    np.testing.assert_array_equal(two_hot(jnp.float32(value), FIVE), np.eye(5)[atom])


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(st.floats(-3.0, 3.0, width=32), min_size=4, max_size=4),
    v_min=st.floats(-2.0, -0.5),
    width=st.floats(0.5, 4.0),
    num_atoms=st.sampled_from([2, 5, 201]),
)
def test_two_hot_properties(values, v_min, width, num_atoms):
    support = Support(v_min, v_min + width, num_atoms)
    probs = np.asarray(two_hot(jnp.asarray(values, jnp.float32), support), np.float64)
    assert probs.min() >= 0.0
    np.testing.assert_allclose(probs.sum(-1), 1.0, atol=1e-6)
    means = probs @ np.linspace(support.v_min, support.v_max, num_atoms)
    np.testing.assert_allclose(means, np.clip(values, support.v_min, support.v_max), atol=1e-5)
    for row in probs:
        nonzero = np.flatnonzero(row)
        assert nonzero[-1] - nonzero[0] <= 1


def test_two_hot_equals_numpy():
    values = np.random.default_rng(0).uniform(-1.2, 0.2, 500).astype(np.float32)
    np.testing.assert_allclose(two_hot(jnp.asarray(values), SUPPORT), _numpy_two_hot(values, SUPPORT), atol=5e-5)


def test_two_hot_keeps_leading_axes_and_takes_low_precision():
    values = jnp.full((2, 3), -0.5, jnp.bfloat16)
    probs = two_hot(values, SUPPORT)
    assert probs.shape == (2, 3, 201)
    assert probs.dtype == jnp.float32


def test_cross_entropy_equals_scipy():
    logits, target = _logits(), _numpy_two_hot([-0.9, -0.503, 0.0], SUPPORT).astype(np.float32)
    expected = -(target * scipy.special.log_softmax(logits.astype(np.float64), axis=-1)).sum(-1)
    np.testing.assert_allclose(cross_entropy(jnp.asarray(logits), jnp.asarray(target)), expected, rtol=1e-6)


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_number_of_atoms():
    target = two_hot(jnp.array([-0.3]), SUPPORT)
    np.testing.assert_allclose(cross_entropy(jnp.zeros((1, 201)), target), np.log(201), rtol=1e-6)


def test_cross_entropy_of_huge_logits_is_finite_with_finite_gradients():
    logits = jnp.array([[1e4, -1e4, 0.0, 0.0, 0.0]])
    target = two_hot(jnp.array([-0.75]), FIVE)
    loss, grad = jax.value_and_grad(lambda x: cross_entropy(x, target)[0])(logits)
    np.testing.assert_allclose(loss, 2e4)
    np.testing.assert_allclose(grad, [[1.0, -1.0, 0.0, 0.0, 0.0]], atol=1e-6)


def test_cross_entropy_of_bfloat16_logits_is_computed_in_float32():
    logits = jnp.asarray(_logits(), jnp.bfloat16)
    target = jnp.asarray(_numpy_two_hot([-0.9, -0.5, 0.0], SUPPORT), jnp.float32)
    loss = cross_entropy(logits, target)
    assert loss.dtype == jnp.float32
    np.testing.assert_array_equal(loss, cross_entropy(logits.astype(jnp.float32), target))


def test_entropy_equals_scipy_and_takes_zeros():
    probs = scipy.special.softmax(_logits().astype(np.float64), axis=-1)
    np.testing.assert_allclose(entropy(jnp.asarray(probs, jnp.float32)), scipy.stats.entropy(probs, axis=-1), rtol=1e-5)
    two = jnp.array([[0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(entropy(two), [np.log(2), 0.0], atol=1e-7)


def test_expected_value_equals_numpy():
    logits = _logits()
    expected = scipy.special.softmax(logits.astype(np.float64), axis=-1) @ np.linspace(-1, 0, 201)
    np.testing.assert_allclose(expected_value(jnp.asarray(logits), SUPPORT), expected, rtol=1e-5)


def test_expected_value_undoes_two_hot():
    values = jnp.array([-1.0, -0.503, -0.0025, 0.0])
    logits = jnp.log(two_hot(values, SUPPORT))
    np.testing.assert_allclose(expected_value(logits, SUPPORT), values, atol=1e-6)


def test_everything_runs_under_jit_with_a_static_support():
    logits, values = jnp.asarray(_logits()), jnp.array([-0.9, -0.503, 0.0])
    for function, argument in ((two_hot, values), (expected_value, logits)):
        expected = function(argument, SUPPORT)
        np.testing.assert_allclose(jax.jit(function, static_argnums=1)(argument, SUPPORT), expected, atol=1e-6)


@pytest.mark.parametrize(("v_min", "v_max"), [(0.0, 0.0), (0.5, -0.5), (float("nan"), 0.0)])
def test_a_support_without_extent_is_refused(v_min, v_max):
    with pytest.raises(ConfigError, match=f"support: expected v_min < v_max, got v_min={v_min}, v_max={v_max}"):
        Support(v_min, v_max)


def test_a_support_of_one_atom_is_refused():
    with pytest.raises(ConfigError, match="support: expected num_atoms >= 2, got 1"):
        Support(num_atoms=1)
