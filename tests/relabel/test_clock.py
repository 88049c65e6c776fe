"""The frame-index baseline against the mean over the other episodes, taken one frame at a time."""

import numpy as np
import pytest
from support.rollout_sets import make_rollouts

from pistar_vf.relabel.clock import clock_squared_errors
from pistar_vf.returns import Outcome


def one_at_a_time(rollouts, seen):
    starts = np.cumsum(rollouts.lengths) - rollouts.lengths
    found = np.full(len(rollouts.target), np.nan)
    for e, (start, length) in enumerate(zip(starts, rollouts.lengths)):
        others = [
            o
            for o in range(len(starts))
            if o != e
            and rollouts.task[starts[o]] == rollouts.task[start]
            and rollouts.outcomes[o] is not Outcome.TIMEOUT
        ]
        if not others or rollouts.outcomes[e] is Outcome.TIMEOUT:
            continue
        shared = sorted(rollouts.lengths[o] for o in [*others, e])[-2]  # frames that two episodes have
        for t in range(length):
            at = min(t, shared - 1)
            known = [*others, e] if seen[e] else others
            guess = np.mean([rollouts.target[starts[o] + at] for o in known if rollouts.lengths[o] > at])
            found[start + t] = (guess - rollouts.target[start + t]) ** 2
    return found


@pytest.mark.parametrize("seed", range(4))
def test_like_one_frame_at_a_time(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 15, 9)
    outcomes = [Outcome(o) for o in rng.choice(["success", "failure", "timeout"], 9)]
    rollouts = make_rollouts(lengths, outcomes, tasks=rng.integers(0, 3, 9))
    seen = rng.random(9) < 0.5
    np.testing.assert_allclose(clock_squared_errors(rollouts, seen), one_at_a_time(rollouts, seen), atol=1e-6)


def test_equal_episodes_are_predicted_exactly():
    assert clock_squared_errors(make_rollouts([6, 6, 6]), np.zeros(3, bool)).max() < 1e-12
