"""What is derived from the columns, checked on two episodes."""

import numpy as np
from support.rollout_sets import flags, make_rollouts

from pistar_vf.relabel.rollouts import standing_still
from pistar_vf.returns import Outcome


def test_positions_and_demonstrations():
    rollouts = make_rollouts([3, 2], intervention=flags((3, 5), size=5))
    assert rollouts.episode.tolist() == [0, 0, 0, 1, 1]
    assert rollouts.frame_index.tolist() == [0, 1, 2, 0, 1]
    assert rollouts.demonstration.tolist() == [False] * 3 + [True] * 2
    assert rollouts.autonomous.tolist() == [True] * 3 + [False] * 2


def test_the_value_past_the_end():
    rollouts = make_rollouts([3, 2], [Outcome.SUCCESS, Outcome.TIMEOUT])
    values = np.array([-0.5, -0.25, -0.125, -0.75, -0.625], np.float32)
    assert rollouts.terminal_values(values).tolist() == [0.0, -0.625]
    assert rollouts.outcome_is(Outcome.TIMEOUT).tolist() == [False, True]


def test_standing_still_needs_both_neighbours():
    state = np.array([[0, 0], [0, 0], [0, 0], [0, 2], [0, 2], [9, 9], [9, 9]], np.float32)
    found = standing_still(state, np.array([5, 2]), np.array([1.0, 2.0]), tolerance=0.5)
    # The arm moves between frames 2 and 3; frame 5 is another episode's first.
    assert found.tolist() == [True, True, False, False, True, True, True]


def test_the_scale_decides_what_a_movement_is():
    state = np.array([[0.0], [0.1], [0.1]], np.float32)
    assert not standing_still(state, np.array([3]), np.array([1.0]), tolerance=0.05)[:2].any()
    assert standing_still(state, np.array([3]), np.array([10.0]), tolerance=0.05).all()
