"""Each criterion against a value function with just that fault."""

import dataclasses

import numpy as np
import pytest
from support.rollout_sets import flags, make_rollouts

from pistar_vf.relabel.gate import ImageProbe, Share, examine
from pistar_vf.relabel.label import LabelRule, compute_advantages, find_thresholds, label_frames
from pistar_vf.returns import Outcome

SEES = ImageProbe(mean_change=0.2, value_std=0.3, num_frames=256)
RULE = LabelRule(lookahead=10)
RNG = np.random.default_rng(0)
OUTCOMES = [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS, Outcome.TIMEOUT] * 6
ROLLOUTS = make_rollouts(RNG.integers(30, 60, len(OUTCOMES)), OUTCOMES)
GOOD = np.where(np.isfinite(ROLLOUTS.target), ROLLOUTS.target, -0.8).astype(np.float32)
GOOD = (GOOD + 0.02 * np.sin(np.arange(len(GOOD)) / 7)).astype(np.float32)


def gate(values, rollouts=ROLLOUTS, probe=SEES, rule=RULE, seen=True):
    advantage = compute_advantages(values, rollouts, rule)
    labels = label_frames(advantage, find_thresholds(advantage, rollouts, rule), rollouts, rule)
    return examine(values, rollouts, labels, rule, probe, np.full(len(rollouts.lengths), seen))


def test_a_good_value_function_passes():
    found = gate(GOOD)
    assert found.passed, found.criteria
    assert all(criterion.passed for criterion in found.criteria)
    assert found.auc[-1] == (1.0, 1.0)


def test_a_constant_is_found():
    assert "V varies" in gate(np.full_like(GOOD, -0.5)).failed


def test_blindness_is_found():
    assert gate(GOOD, probe=ImageProbe(0.001, 0.3, 256)).failed == ("V reads the images",)
    assert gate(GOOD, probe=ImageProbe(0.0, 0.0, 256)).failed == ("V reads the images",)


def test_a_clock_is_found():
    """Each frame gets the mean target of its frame index: exactly what the baseline knows."""
    time = ROLLOUTS.frame_index
    known = np.isfinite(ROLLOUTS.target)
    mean = np.bincount(time[known], ROLLOUTS.target[known]) / np.bincount(time[known])
    clock = mean[np.minimum(time, len(mean) - 1)].astype(np.float32)
    assert "V beats the clock" in gate(clock).failed


def test_failures_that_look_like_successes_are_found():
    length = np.repeat(ROLLOUTS.lengths, ROLLOUTS.lengths)
    optimist = ((ROLLOUTS.frame_index + 1) / length - 1).astype(np.float32)
    found = gate(optimist)
    assert "success above failure" in found.failed


def test_noise_is_found():
    noisy = GOOD + RNG.normal(0, 0.3, len(GOOD)).astype(np.float32)
    assert "signal above noise" in gate(noisy).failed


def test_all_positive_is_found():
    assert "positives and negatives" in gate(GOOD, rule=LabelRule(lookahead=10, threshold=-5.0)).failed


def test_the_trap_is_found():
    """Failures whose value past the end is 0 although no reward carried the penalty."""
    wrong = dataclasses.replace(ROLLOUTS, keeps_last_value=np.zeros(len(OUTCOMES), bool))
    found = gate(GOOD, rollouts=wrong)
    assert "tails of failures" in found.failed


def test_what_the_data_cannot_tell_does_not_fail():
    successes = make_rollouts(RNG.integers(30, 60, 8))
    values = (successes.target + 0.005).astype(np.float32)
    found = gate(values, rollouts=successes)
    cannot = {criterion.name for criterion in found.criteria if criterion.passed is None}
    assert cannot == {"success above failure", "tails of failures"}
    assert found.passed
    assert np.isnan(found.auc[0][1])


def test_counts_by_task_and_source():
    rollouts = make_rollouts(
        [10, 10, 5],
        [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS],
        tasks=[0, 1, 0],
        intervention=flags((4, 8), (20, 25), size=25),
        still=flags((7, 9), size=25),
    )
    values = np.linspace(-1, 0, 25, dtype=np.float32)
    shares = gate(values, rollouts=rollouts, rule=LabelRule(threshold=100.0)).shares
    assert shares == (
        Share("task 0", "autonomous, success", 6, 0, 6, 0),
        Share("task 0", "intervention", 4, 3, 0, 1),
        Share("task 0", "demonstration", 5, 0, 0, 0),
        Share("task 1", "autonomous, failure", 10, 0, 10, 0),
    )


@pytest.mark.parametrize("length", [1, 2, 3])
def test_very_short_episodes_do_not_crash(length):
    rollouts = make_rollouts([length] * 3, [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS])
    assert len(gate(np.linspace(-1, 0, 3 * length, dtype=np.float32), rollouts=rollouts).criteria) == 7
