"""Advantages end at a takeover, and a failure's steps cost beyond its end: by hand, and one frame at a time."""

import numpy as np
import pytest
from support.rollout_sets import flags, make_rollouts

from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.horizons import Horizons, default_lookahead, takeovers
from pistar_vf.relabel.label import compute_advantages
from pistar_vf.returns import Outcome

# A success of eight frames; the operator drives frames 3 and 4.
CORRECTED = make_rollouts([8], intervention=flags((3, 5), size=8))
VALUES = np.array([-0.9, -0.8, -0.75, -0.85, -0.5, -0.25, -0.125, 0.0], np.float32)
RULES = [LabelRule(lookahead=3), LabelRule("monte_carlo"), LabelRule("gae", gae_lambda=0.5)]


def test_a_takeover_by_hand():
    """V of frame 3 stands for the rest, and all five steps cost: for frame 1 -5/8 + V(3) - V(1) = -0.625 - 0.05."""
    found = compute_advantages(VALUES, CORRECTED, LabelRule(lookahead=5))
    assert found[:3] == pytest.approx([-0.625 - 0.85 + 0.9, -0.675, -0.625 - 0.85 + 0.75])
    assert found[5] == pytest.approx(-2 / 8 + 0.0 + 0.25)  # the last reward is 0, and so is what follows


@pytest.mark.parametrize("rule", RULES)
def test_what_the_operator_achieves_is_no_merit_of_the_frames_before(rule):
    better = VALUES + np.where(np.arange(8) > 3, 0.1, 0.0).astype(np.float32)
    before, after = (compute_advantages(values, CORRECTED, rule) for values in (VALUES, better))
    np.testing.assert_array_equal(before[:3], after[:3])
    assert (before[3:] != after[3:]).any()


@pytest.mark.parametrize("rule", [RULES[0], RULES[2]])
def test_every_frame_before_a_takeover_is_as_bad_where_v_stands_still(rule):
    """Long after a mistake V is at the bottom until the operator comes: the last frame there is no better."""
    found = compute_advantages(np.full(8, -0.9, np.float32), CORRECTED, rule)[:3]
    wanted = {"n_step": -3 / 8, "gae": -2 / 8}  # a step costs 1/8; GAE at ½ sums two of them
    assert found == pytest.approx([wanted[rule.estimator]] * 3, abs=1e-6)


def test_steps_that_cost_nothing_cost_nothing_beyond_a_takeover():
    sparse = make_rollouts([8], intervention=flags((3, 5), size=8), reward=np.zeros(8, np.float32))
    assert compute_advantages(np.full(8, -0.9, np.float32), sparse, LabelRule(lookahead=5))[:3].tolist() == [0.0] * 3


def test_takeovers_of_two_episodes():
    rollouts = make_rollouts([6, 5], intervention=flags((2, 3), (5, 8), (10, 11), size=11))
    # Frame 6 is the first of the second episode: its operator drove from the start and took nothing over there.
    assert np.flatnonzero(takeovers(rollouts)).tolist() == [2, 5, 10]
    horizons = Horizons.of(rollouts)
    assert horizons.lengths.tolist() == [2, 3, 1, 4, 1]
    assert horizons.episode.tolist() == [0, 0, 0, 1, 1]
    assert horizons.taken_over.tolist() == [True, True, False, True, False]
    assert horizons.steps_paid().tolist() == [2, 1, 3, 2, 1, 0, 4, 3, 2, 1, 0]
    values = np.arange(11, dtype=np.float32)
    assert horizons.terminal_values(values, rollouts).tolist() == [2.0, 5.0, 0.0, 10.0, 0.0]


def failure(length=12, penalty=-1.0, **changes):
    reward = np.append(np.full(length - 1, -1 / length), penalty).astype(np.float32)
    return make_rollouts([length], [Outcome.FAILURE], reward=reward, keeps_last_value=np.array([False]), **changes)


@pytest.mark.parametrize("rule", RULES)
def test_every_frame_of_a_hopeless_failure_is_as_bad(rule):
    """V is -1 from the first frame to the last."""
    found = compute_advantages(np.full(12, -1.0, np.float32), failure(), rule)
    np.testing.assert_allclose(found, found[0], atol=1e-6)
    wanted = {"n_step": -3 / 12, "monte_carlo": 0.0, "gae": -2 / 12}  # a step costs 1/12; GAE at ½ sums two of them
    assert found[0] == pytest.approx(wanted[rule.estimator], abs=1e-6)


def test_without_a_penalty_in_the_rewards_likewise():
    rollouts = failure(penalty=0.0)
    rollouts = make_rollouts([12], [Outcome.FAILURE], reward=rollouts.reward)  # V of the last frame goes on
    found = compute_advantages(np.full(12, -1.0, np.float32), rollouts, LabelRule(lookahead=3))
    np.testing.assert_allclose(found, -3 / 12, atol=1e-6)


def test_a_failure_above_the_bottom_pays_for_its_own_steps_only():
    """Its value rises to the end, as fewer steps are left: targets have an advantage of 0 everywhere."""
    target = (-0.25 - np.arange(12)[::-1] / 12 * 0.75).astype(np.float32)
    reward = np.append(np.full(11, -0.75 / 12), -0.25).astype(np.float32)
    rollouts = make_rollouts([12], [Outcome.FAILURE], reward=reward, target=target, keeps_last_value=np.array([False]))
    found = compute_advantages(target, rollouts, LabelRule(lookahead=3))
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_the_default_horizon():
    assert default_lookahead(make_rollouts([400, 300])) == 50
    assert default_lookahead(make_rollouts([100, 110, 40])) == 20
    assert default_lookahead(make_rollouts([41])) == 9
    assert default_lookahead(make_rollouts([2])) == 1
    demonstration = make_rollouts([100, 40], intervention=flags((100, 140), size=140))
    assert default_lookahead(demonstration) == 20  # of episodes in which the policy acted
