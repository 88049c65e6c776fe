"""The frame-index baseline against the mean over the other episodes, taken one frame at a time."""

import numpy as np
import pytest
from support.rollout_sets import flags, make_rollouts

from pistar_vf.relabel.clock import Clock
from pistar_vf.returns import Outcome


def one_at_a_time(rollouts):
    """(guess, unbiased squared error) of every frame; a guess stands still past the last that there is."""
    frames = list(zip(rollouts.task, rollouts.frame_index, rollouts.episode, rollouts.target, rollouts.autonomous))
    guess, error = np.full((2, len(frames)), np.nan)
    for row, (task, time, episode, target, autonomous) in enumerate(frames):
        others = [y for k, t, e, y, a in frames if k == task and t == time and e != episode and a and np.isfinite(y)]
        if others:
            guess[row] = np.mean(others)
            if autonomous and np.isfinite(target):
                error[row] = (target - guess[row]) ** 2 * len(others) / (len(others) + 1)
        elif time > 0:
            guess[row] = guess[row - 1]
    return guess, error


@pytest.mark.parametrize("seed", range(4))
def test_like_one_frame_at_a_time(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 15, 9)
    outcomes = [Outcome(o) for o in rng.choice(["success", "failure", "timeout"], 9)]
    operator = np.repeat(rng.random(9) < 0.2, lengths)
    rollouts = make_rollouts(lengths, outcomes, tasks=rng.integers(0, 3, 9), intervention=operator)
    clock = Clock.of(rollouts)
    guess, error = one_at_a_time(rollouts)
    np.testing.assert_allclose(clock.guess, guess, atol=1e-6)
    np.testing.assert_allclose(clock.squared_error, error, atol=1e-6)


def test_equal_episodes_are_predicted_exactly():
    assert Clock.of(make_rollouts([6, 6, 6])).squared_error.max() < 1e-12


def test_the_error_is_that_of_the_true_mean():
    """Four targets of one frame each, drawn from N(-0.5, 0.1²): 0.01 on average, however few are averaged."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(-0.5, 0.1, (300, 4)).astype(np.float32)
    found = [Clock.of(make_rollouts([1] * 4, target=targets)).squared_error.mean() for targets in drawn]
    assert np.mean(found) == pytest.approx(0.01, rel=0.15)  # the mean of the others would give 0.0133


def test_a_guess_before_the_first_other_frame():
    """The other episode begins with the operator: its first frame of the policy is the guess for those before."""
    rollouts = make_rollouts([3, 3], intervention=flags((3, 4), size=6))
    assert Clock.of(rollouts).guess[:3] == pytest.approx([-1 / 3, -1 / 3, 0.0])
