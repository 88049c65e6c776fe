"""Intervals against scipy's, against each other, and by how often they hold what is known."""

import importlib.util
import itertools

import numpy as np
import pytest
import scipy.stats
from support.places import ROOT

from pistar_vf.intervals import (
    MIN_EPISODES,
    auc_interval,
    auc_p_value,
    difference_interval,
    jackknife_interval,
    ratio_interval,
)
from pistar_vf.metrics import auc

spec = importlib.util.spec_from_file_location("interval_coverage", ROOT / "benchmarks" / "intervals.py")
simulation = importlib.util.module_from_spec(spec)
spec.loader.exec_module(simulation)


@pytest.mark.parametrize("name", list(simulation.POPULATIONS))
def test_the_truth_is_inside_in_nine_of_ten(name):
    """Of 200 seeded draws of five episodes; percentile bootstraps are too narrow there."""
    held, printed = simulation.coverage(name, MIN_EPISODES, 200)
    assert held >= 0.9
    assert printed >= 0.8


@pytest.mark.parametrize("name", list(simulation.POPULATIONS))
def test_nothing_is_printed_below_five_episodes(name):
    assert simulation.coverage(name, MIN_EPISODES - 1, 20)[1] == 0


def test_a_difference_has_welchs_interval():
    rng = np.random.default_rng(2)
    one, other = rng.normal(0, 1, 5), rng.normal(2, 4, 9)
    expected = scipy.stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.98)
    assert difference_interval(one, other) == pytest.approx((expected.low, expected.high))
    assert np.isnan(difference_interval(one, other[:1])).all()
    assert np.isnan(difference_interval(one[:2], other[:2])).all()


def test_errors_have_students_interval_on_a_logarithm():
    figures = np.random.default_rng(3).exponential(0.1, 9)
    half = scipy.stats.t.ppf(0.985, 8) * scipy.stats.sem(figures) / figures.mean()
    expected = figures.mean() * np.exp([-half, half])
    assert ratio_interval(figures * 7, np.full(9, 7)) == pytest.approx(tuple(expected))


def test_shares_are_measured_from_the_nearer_end():
    figures = np.array([0.8, 0.95, 1.0, 0.9, 0.99, 0.97])
    low, high = ratio_interval(figures, np.ones(6), top=1.0)
    mirrored = ratio_interval(1 - figures, np.ones(6), top=1.0)
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]))
    assert 0 < low < figures.mean() < high < 1


def test_a_jackknifed_mean_has_the_means_interval():
    figures = np.random.default_rng(4).uniform(0.1, 0.6, 8)
    left_out = (figures.sum() - figures) / 7
    own = jackknife_interval(float(figures.mean()), left_out)
    assert own == pytest.approx(ratio_interval(figures, np.ones(8), top=1.0))


def test_a_perfect_auc_has_a_lower_end():
    low, high = auc_interval(1.0, [(3, 2)])
    assert (round(low, 2), high) == (0.44, 1.0)  # 0.56 = 1.96 · sqrt(0.44 · 0.56 · (1 + 1.5 · (0.359 + 0.306)) / 6)
    assert auc_interval(0.0, [(3, 2)]) == pytest.approx((0.0, 1 - low))
    assert auc_interval(1.0, [(60, 40)])[0] > 0.95
    assert np.isnan(auc_interval(1.0, [(2, 2)])).all()
    assert np.isnan(auc_interval(float("nan"), [(20, 20)])).all()


def test_tasks_of_one_outcome_do_not_count_for_the_auc():
    assert auc_interval(0.8, [(10, 8), (30, 0)]) == auc_interval(0.8, [(10, 8)])
    wide, narrow = auc_interval(0.8, [(10, 8)]), auc_interval(0.8, [(10, 8), (10, 8)])
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]


def test_the_p_value_is_that_of_all_assignments():
    """All 20 ways to call three of six episodes successes, against 10,000 random ones."""
    score, positive = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1]), np.array([True, True, False, True, False, False])
    ways = [np.isin(np.arange(6), chosen) for chosen in itertools.combinations(range(6), 3)]
    exact = np.mean([auc(score, way) >= auc(score, positive) for way in ways])
    assert exact == 1 / 20
    assert auc_p_value(score, positive, np.zeros(6, int)) == pytest.approx(exact, abs=0.01)
    assert np.isnan(auc_p_value(score, np.ones(6, bool), np.zeros(6, int)))


def test_the_p_value_is_within_tasks():
    """One task's episodes all succeed and score high: that is the task, not the model."""
    rng = np.random.default_rng(0)
    task = np.repeat([0, 1], 20)
    score, positive = task + 0.1 * rng.random(40), (rng.random(40) < 0.5) | (task == 1)
    assert auc_p_value(score, positive, np.zeros(40, int)) < 0.05
    assert auc_p_value(score, positive, task) > 0.05


def test_numbers_that_differ_by_rounding_are_no_evidence():
    """A constant V whose means are a billionth apart, successes above failures: every assignment does as well."""
    positive = np.arange(12) % 2 == 0
    assert auc_p_value(-0.5 + 1e-9 * positive, positive, np.zeros(12, int)) == 1.0
