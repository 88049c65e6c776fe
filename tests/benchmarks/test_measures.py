"""The Meta-World benchmark's arithmetic, without a simulator."""

import numpy as np
import pytest
from simulated import labels
from simulated.measures import GainAuc, LabelJudge, ValueQuality, paired_difference
from support.made_up_progress import made_up_rollouts, made_up_truth

from pistar_vf.metrics import auc
from pistar_vf.relabel.clock import Clock
from pistar_vf.relabel.config import LabelRule

RULE = LabelRule(lookahead=15)


@pytest.fixture(scope="module")
def truth():
    return made_up_truth()


@pytest.fixture(scope="module")
def rollouts(truth):
    return made_up_rollouts(truth)


@pytest.fixture(scope="module")
def value(truth):
    """True progress, with errors as long as those of a model."""
    rng = np.random.default_rng(1)
    steps = rng.normal(0, 0.08, len(truth.progress) // 10 + 1)
    return np.clip(
        truth.progress - 1 + np.interp(np.arange(len(truth.progress)) / 10, np.arange(len(steps)), steps), -1, 0
    )


def test_paired_difference_by_hand():
    one, other = np.array([[1, 1, 0], [1, 0, 1]], bool), np.array([[0, 1, 0], [1, 0, 0]], bool)
    found = paired_difference(one, other)
    # Differences 1 0 0 / 0 0 1. Means by seed are equal; by start 1/2, 0, 1/2: a variance of 1/12, a third of it for
    # three starts; t with one degree of freedom is 12.706.
    assert found.figure == pytest.approx(1 / 3)
    assert found.high - found.figure == pytest.approx(12.7062 / 6, rel=1e-4)
    assert found.figure - found.low == pytest.approx(12.7062 / 6, rel=1e-4)


def test_paired_intervals_hold_the_truth():
    """Seeds and starts both shift the chance of success; the true difference is 0.1."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        shifts = rng.normal(0, 0.1, (8, 1)) + rng.uniform(-0.3, 0.3, (1, 50))
        luck = rng.random((2, 8, 50))
        own = rng.normal(0, 0.05, (8, 1))  # what this arm's seeds do more than the other's
        found = paired_difference(luck[0] < 0.5 + shifts + own, luck[1] < 0.4 + shifts)
        held += found.low <= 0.1 <= found.high
    assert held / 300 >= 0.93


def test_auc_of_draws_is_that_of_repeated_frames(truth):
    gain, episode = truth.gain(15), truth.layout.numbers()
    positive = np.random.default_rng(2).random(len(gain)) < 0.3 + 0.3 * (gain > 0.1)
    levels = np.round(gain / 1e-3)
    measure = GainAuc(gain, episode, np.ones(len(gain), bool))
    assert measure.of(positive, np.ones(len(truth.lengths))) == pytest.approx(auc(levels, positive))
    weight = np.random.default_rng(3).integers(0, 3, len(truth.lengths))
    rows = np.repeat(np.arange(len(gain)), weight[episode])
    assert measure.of(positive, weight) == pytest.approx(auc(levels[rows], positive[rows]))


def test_every_mutant_is_caught(truth, rollouts, value):
    judge = LabelJudge(truth, 0, RULE.num_steps, draws=100)
    right = labels.by_values(value, rollouts, RULE)
    for name, wrong in labels.mutants(value, truth, rollouts, RULE).items():
        assert judge.better_in_failures(right, wrong).low > 0, name


def test_knowing_the_outcome_is_nothing_inside_failures(truth):
    found = LabelJudge(truth, 0, RULE.num_steps, draws=20).quality(truth.success_of_frames)
    assert found.overall.figure > 0.6
    assert found.in_failures.figure == 0.5  # no frame there is positive
    assert found.share_in_failures == 0.0


def test_true_gain_is_the_best_labelling(truth, rollouts):
    judge = LabelJudge(truth, 0, RULE.num_steps, draws=20)
    oracle = judge.quality(labels.by_true_gain(truth, rollouts, RULE))
    assert oracle.overall.figure > 0.95
    assert oracle.share == pytest.approx(0.3, abs=0.01)
    chance = judge.quality(labels.at_random(len(truth.progress), RULE, seed=0))
    assert chance.in_failures.figure == pytest.approx(0.5, abs=0.05)


def test_value_quality_of_the_truth_and_of_a_clock(truth, rollouts):
    best = ValueQuality.measure(truth.progress.astype(np.float64) - 1, truth, rollouts, 0)
    assert best.same_time.figure == 1.0
    clock = ValueQuality.measure(np.round(Clock.of(rollouts).guess, 6), truth, rollouts, 0)
    assert clock.rms == pytest.approx(clock.rms_of_clock, rel=0.05)
    time_alone = ValueQuality.measure(-1 + truth.layout.frame_index() / 200, truth, rollouts, 0)
    assert time_alone.same_time.figure == 0.5


def test_gain_stops_at_the_end_of_an_episode(truth):
    gain, layout = truth.gain(7), truth.layout
    for start, end in zip(layout.starts[:3], layout.ends[:3]):
        own = truth.progress[start:end].astype(np.float64)
        assert gain[start:end] == pytest.approx([own[min(t + 7, len(own) - 1)] - own[t] for t in range(len(own))])
