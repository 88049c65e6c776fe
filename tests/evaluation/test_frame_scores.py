"""Measures of single frames, by hand on five atoms and against plain numpy on 201."""

import numpy as np
import pytest

from pistar_vf.categorical import Support
from pistar_vf.evaluation.frame_scores import FRAME_MEASURES, score_logits, score_probs, score_values

FIVE = Support(num_atoms=5)  # -1, -0.75, -0.5, -0.25, 0
PROBS = np.array([0.1, 0.2, 0.4, 0.25, 0.05], np.float32)  # cumulative 0.1, 0.3, 0.7, 0.95, 1


def scores_of(target: float) -> dict[str, float]:
    found = score_logits(np.log(PROBS)[None], np.array([target], np.float32), FIVE)
    return {name: float(value[0]) for name, value in found.items()}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # The quartiles are the atoms -0.75 and -0.25; the 5 % and 95 % quantiles are -1 and -0.25.
        (-0.5, {"loss": -np.log(0.4), "top1": 1, "coverage_50": 1, "coverage_90": 1}),
        (-0.25, {"loss": -np.log(0.25), "top1": 0, "coverage_50": 1, "coverage_90": 1}),
        (-0.75, {"loss": -np.log(0.2), "top1": 0, "coverage_50": 1, "coverage_90": 1}),
        (-1.0, {"loss": -np.log(0.1), "top1": 0, "coverage_50": 0, "coverage_90": 1}),
        (0.0, {"loss": -np.log(0.05), "top1": 0, "coverage_50": 0, "coverage_90": 0}),
    ],
)
def test_targets_on_an_atom_by_hand(target, expected):
    found = scores_of(target)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert found["value"] == pytest.approx(PROBS @ [-1, -0.75, -0.5, -0.25, 0])
    assert found["kl"] == pytest.approx(found["loss"], rel=1e-5)
    assert found["top5"] == 1


def test_a_target_between_atoms_by_hand():
    """-0.6 is 0.4 of -0.75 and 0.6 of -0.5; the nearest atom is the likeliest."""
    found = scores_of(-0.6)
    loss = -(0.4 * np.log(0.2) + 0.6 * np.log(0.4))
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["kl"] == pytest.approx(loss + 0.4 * np.log(0.4) + 0.6 * np.log(0.6), rel=1e-4)
    assert (found["top1"], found["coverage_50"]) == (1, 1)


def test_against_plain_numpy():
    """Ranks by sorting, central intervals from the cumulative sum, the nearest atom by distance; two chunks."""
    rng = np.random.default_rng(0)
    support, atoms = Support(), np.linspace(-1, 0, 201)
    probs = rng.dirichlet(np.full(201, 0.3), 1500).astype(np.float64) + 1e-6
    probs /= probs.sum(axis=1, keepdims=True)
    target = rng.uniform(-1, 0, 1500).astype(np.float32)
    found = score_probs(probs, target, support)
    nearest = np.abs(atoms - target[:, None]).argmin(axis=1)
    order = np.argsort(-probs, axis=1)
    np.testing.assert_array_equal(found["top1"], order[:, 0] == nearest)
    np.testing.assert_array_equal(found["top5"], (order[:, :5] == nearest[:, None]).any(axis=1))
    cumulative = np.cumsum(probs, axis=1)
    for level in (0.5, 0.9):
        low = atoms[(cumulative >= (1 - level) / 2).argmax(axis=1)]
        high = atoms[(cumulative >= (1 + level) / 2).argmax(axis=1)]
        inside = (atoms[nearest] >= low) & (atoms[nearest] <= high)
        np.testing.assert_array_equal(found[f"coverage_{level * 100:.0f}"], inside)
    position = (target.astype(np.float64) + 1) * 200
    lower = np.minimum(np.floor(position).astype(int), 199)
    above, row = position - lower, np.arange(1500)
    loss = -((1 - above) * np.log(probs[row, lower]) + above * np.log(probs[row, lower + 1]))
    np.testing.assert_allclose(found["loss"], loss, atol=2e-3)
    np.testing.assert_allclose(found["value"], probs @ atoms, atol=1e-5)


def test_a_calibrated_model_covers_what_it_says():
    """Targets drawn from the predicted distributions: the intervals hold them a little more often than they say."""
    rng = np.random.default_rng(1)
    atoms = np.linspace(-1, 0, 201)
    centre = rng.uniform(-0.7, -0.3, (4000, 1))
    probs = np.exp(-0.5 * ((atoms - centre) / 0.1) ** 2) + 1e-9
    probs /= probs.sum(axis=1, keepdims=True)
    drawn = (probs.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    found = score_probs(probs, atoms[drawn].astype(np.float32), Support())
    # An interval of atoms holds up to an atom's probability (0.02) at either end on top.
    assert 0.49 < found["coverage_50"].mean() < 0.55
    assert 0.89 < found["coverage_90"].mean() < 0.93


def test_values_without_a_distribution_have_no_loss():
    found = score_values(np.array([-0.5, -0.2], np.float32))
    np.testing.assert_array_equal(found["value"], np.array([-0.5, -0.2], np.float32))
    assert set(found) == {"value", *FRAME_MEASURES} - {"mae", "mse"}
    assert all(np.isnan(found[name]).all() for name in found if name != "value")
