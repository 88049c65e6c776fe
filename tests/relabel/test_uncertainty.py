"""Spread of a distribution and of several models, by hand and against the library's own quantiles."""

import numpy as np
import pytest

from pistar_vf.categorical import Support
from pistar_vf.inference.predictor import Prediction
from pistar_vf.relabel import uncertainty
from pistar_vf.relabel.uncertainty import QUANTILES, Chosen, Combined, Mixture, Spread

FIVE = Support(num_atoms=5)
"""Atoms -1, -0.75, -0.5, -0.25, 0."""


def random_probs(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(201, 0.1), count).astype(np.float16)


def test_spread_by_hand():
    """Half at -1 and half at 0: mean -0.5, deviation 0.5; all at -0.25: none."""
    probs = np.array([[0.5, 0, 0, 0, 0.5], [0, 0, 0, 1, 0], [0.04, 0.06, 0.8, 0.06, 0.04]])
    found = Spread.measure(probs, FIVE)
    np.testing.assert_allclose(found.std, [0.5, 0, (2 * 0.04 * 0.25 + 2 * 0.06 * 0.0625) ** 0.5], atol=1e-6)
    np.testing.assert_array_equal(found.quantiles, [[-1, -1, 0], [-0.25] * 3, [-0.75, -0.5, -0.25]])


def test_quantiles_are_the_librarys(monkeypatch):
    """In chunks, of probabilities that float16 has rounded."""
    monkeypatch.setattr(uncertainty, "_CHUNK", 7)
    probs = random_probs(30)
    found = Spread.measure(probs, Support())
    exact = probs.astype(np.float32) / probs.astype(np.float32).sum(axis=1, keepdims=True)
    for column, level in enumerate(QUANTILES):
        expected = Prediction(exact[:, 0], exact, np.asarray(Support().atoms)).quantile(level)
        np.testing.assert_allclose(found.quantiles[:, column], expected, atol=1e-6)
    atoms = np.linspace(-1, 0, 201)
    mean = exact @ atoms
    np.testing.assert_allclose(found.std, np.sqrt((exact * (atoms - mean[:, None]) ** 2).sum(axis=1)), atol=1e-5)


VALUES = [np.float32([-0.9, -0.2, -0.5]), np.float32([-0.7, -0.6, -0.5]), np.float32([-0.8, -0.1, -0.5])]


def test_the_mean_of_several_models():
    probs = [random_probs(3, seed) for seed in range(3)]
    found = Combined.of(VALUES, probs, "mean")
    np.testing.assert_allclose(found.value, [-0.8, -0.3, -0.5], atol=1e-7)
    np.testing.assert_allclose(found.disagreement, [np.std([0.9, 0.7, 0.8]), np.std([0.2, 0.6, 0.1]), 0], atol=1e-6)
    expected = np.mean([p.astype(np.float32) for p in probs], axis=0)[[2, 0]]
    np.testing.assert_array_equal(found.probs[np.array([2, 0])], expected)
    assert len(found.probs) == 3


def test_the_worst_of_several_models():
    """Frame by frame whoever expects least, with its own distribution."""
    probs = [random_probs(3, seed) for seed in range(3)]
    found = Combined.of(VALUES, probs, "worst")
    np.testing.assert_array_equal(found.value, np.float32([-0.9, -0.6, -0.5]))
    rows = np.array([1, 0])
    np.testing.assert_array_equal(found.probs[rows], np.stack([probs[1][1], probs[0][0]]).astype(np.float32))
    np.testing.assert_allclose(found.disagreement, Combined.of(VALUES, probs, "mean").disagreement)


@pytest.mark.parametrize("kind", [Mixture, lambda members: Chosen(members, np.zeros(9, np.int64))])
def test_one_model_is_itself(kind):
    probs = random_probs(9)
    one = kind([probs])
    np.testing.assert_array_equal(one[np.arange(9)], probs.astype(np.float32))
    assert len(one) == 9
