"""The two baselines that predict a distribution, counted by hand."""

import numpy as np
import pytest

from pistar_vf.categorical import Support
from pistar_vf.evaluation.empirical import at_frames, clock_distributions, constant_distribution

FIVE = Support(num_atoms=5)  # -1, -0.75, -0.5, -0.25, 0
UNIFORM = np.full(5, 0.2)


def test_the_constant_counts_two_hot_targets():
    """-1; -0.5; and -0.15, which is 0.6 of -0.25 and 0.4 of 0; one more frame is spread evenly."""
    found = constant_distribution([np.array([-1.0, -0.5]), np.array([-0.15])], FIVE)
    np.testing.assert_allclose(found, np.array([1.2, 0.2, 1.2, 0.8, 0.6]) / 4)


def test_the_clock_counts_by_frame_index():
    """Three episodes of which one half says nothing about the other, so that no window beats none."""
    targets = [np.array([-1.0, -0.5, 0.0]), np.array([-1.0, -0.5]), np.array([-1.0, -0.5, -0.5, 0.0])]
    found = clock_distributions(targets, UNIFORM, FIVE)
    expected = np.array([[3.2, 0.2, 0.2, 0.2, 0.2], [0.2, 0.2, 3.2, 0.2, 0.2]]) / 4
    np.testing.assert_allclose(found[:2], expected)
    # Two episodes have a frame 2, one has a frame 3: the clock stands still at frame 2.
    np.testing.assert_allclose(found[2:], np.array([[0.2, 0.2, 1.2, 0.2, 1.2]]) / 3)
    np.testing.assert_array_equal(at_frames(found, np.array([0, 2, 9])), found[[0, 2, 2]])


def test_the_clock_of_one_episode_knows_that_one():
    found = clock_distributions([np.array([-1.0, 0.0])], UNIFORM, FIVE)
    np.testing.assert_allclose(found, np.array([[1.2, 0.2, 0.2, 0.2, 0.2], [0.2, 0.2, 0.2, 0.2, 1.2]]) / 2)


def test_neighbouring_frames_are_pooled_where_that_predicts_better():
    """Ramps that begin up to 8 frames early or late: counts of single frames miss most of a new episode's atoms."""
    rng = np.random.default_rng(0)
    support = Support()
    ramps = [np.clip(-1 + (np.arange(100) + rng.uniform(-8, 8)) / 100, -1, 0) for _ in range(8)]
    prior = constant_distribution(ramps, support)
    found = clock_distributions(ramps, prior, support)
    new = np.clip(-1 + (np.arange(100) + 2.3) / 100, -1, 0)
    nearest = np.round((new + 1) * 200).astype(int)
    loss = -np.log(found[np.arange(100), nearest]).mean()
    counted = np.stack([np.round((ramp + 1) * 200).astype(int) for ramp in ramps])
    single = np.stack([np.bincount(column, minlength=201) + prior for column in counted.T]) / 9
    assert loss < -np.log(single[np.arange(100), nearest]).mean() - 0.1
    value = found @ np.linspace(-1, 0, 201)
    assert np.abs(value - new).mean() < 0.05


@pytest.mark.parametrize("targets", [[np.array([-0.3])], [np.linspace(-1, 0, 50), np.full(30, -1.0)]])
def test_nothing_is_impossible_and_everything_sums_to_one(targets):
    support = Support()
    prior = constant_distribution(targets, support)
    found = clock_distributions(targets, prior, support)
    for probs in (prior[None], found):
        assert (probs > 0).all()
        np.testing.assert_allclose(probs.sum(axis=1), 1.0)
