"""Why a frame has its label, against examples small enough to check by eye."""

import numpy as np
import pytest
from support.rollout_sets import flags, make_rollouts

from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.frame_labels import (
    ABOVE,
    BELOW,
    DEMONSTRATION,
    DOUBT,
    OPERATOR,
    REASONS,
    STILL,
    TAKEOVER,
    decided_by,
    looked_up,
)
from pistar_vf.relabel.label import KEPT, NEGATIVE, NONE, POSITIVE, Labels, compute_advantages, label_frames

CODES = {
    BELOW: NEGATIVE,
    ABOVE: POSITIVE,
    DOUBT: NONE,
    TAKEOVER: NEGATIVE,
    OPERATOR: POSITIVE,
    STILL: NONE,
    DEMONSTRATION: KEPT,
}


def test_each_reason_in_its_place():
    advantage = np.array([0.3, -0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3])
    chance = np.array([0.55, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])
    rollouts = make_rollouts([7, 1], intervention=flags((4, 6), (7, 8), size=8), still=flags((5, 6), size=8))
    labels = Labels(np.zeros(8, np.int8), advantage, np.zeros(1), chance)
    found = decided_by(labels, np.zeros(8), rollouts, LabelRule(abstain=0.1, takeover_frames=1))
    assert found.tolist() == [DOUBT, BELOW, ABOVE, TAKEOVER, OPERATOR, STILL, ABOVE, DEMONSTRATION]


def test_the_reason_is_that_of_the_label():
    """Against `label_frames` itself, on random frames with everything that overrides a threshold."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, 40)
    size = int(lengths.sum())
    rollouts = make_rollouts(lengths, intervention=rng.random(size) < 0.3, still=rng.random(size) < 0.5)
    advantage, threshold, rule = rng.normal(size=size), np.array([0.2]), LabelRule(abstain=0.2, takeover_frames=2)
    labels = label_frames(advantage, threshold, rollouts, rule, rng.random(size))
    found = decided_by(labels, np.full(size, 0.2), rollouts, rule)
    assert {int(reason) for reason in found} == set(range(len(REASONS)))
    assert [CODES[int(reason)] for reason in found] == labels.code.tolist()


VALUES = np.array([-0.5, -0.25, -0.125, -0.75, -0.625], np.float32)


@pytest.mark.parametrize(
    ("rule", "then", "value"),
    [
        (LabelRule(lookahead=2), [2, 3, 3, 5, 5], [-0.125, 0, 0, 0, 0]),
        (LabelRule(lookahead=1), [1, 2, 3, 4, 5], [-0.25, -0.125, 0, -0.625, 0]),
        (LabelRule(estimator="monte_carlo"), [3, 3, 3, 5, 5], [0, 0, 0, 0, 0]),
    ],
)
def test_where_an_advantage_looks(rule, then, value):
    found = looked_up(VALUES, make_rollouts([3, 2]), rule)
    assert found[0].tolist() == then
    assert found[1].tolist() == value


def test_it_looks_no_further_than_a_takeover():
    rollouts = make_rollouts([5], intervention=flags((3, 5), size=5))
    then, value = looked_up(VALUES, rollouts, LabelRule(lookahead=4))
    assert then.tolist() == [3, 3, 3, 5, 5]
    assert value.tolist() == [-0.75, -0.75, -0.75, 0, 0]


def test_gae_looks_at_no_single_frame():
    assert looked_up(VALUES, make_rollouts([3, 2]), LabelRule(estimator="gae")) == (None, None)


def test_reward_and_both_values_add_up_to_the_advantage():
    """What the page says: advantage = reward until then + V then - V now."""
    rollouts, rule = make_rollouts([3, 2]), LabelRule(lookahead=2)
    _, value_then = looked_up(VALUES, rollouts, rule)
    reward = compute_advantages(VALUES, rollouts, rule) + VALUES - value_then
    assert reward == pytest.approx([-2 / 3, -1 / 3, 0.0, -0.5, 0.0])
