"""Thresholds and overrides against examples small enough to check by eye."""

import numpy as np
import pytest
from support.rollout_sets import flags, make_rollouts

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.relabel.label import (
    KEPT,
    NEGATIVE,
    NONE,
    POSITIVE,
    LabelRule,
    before_takeover,
    compute_advantages,
    find_thresholds,
    label_frames,
    positive_percents,
)
from pistar_vf.returns import Outcome
from pistar_vf.returns.advantages import gae_advantages, monte_carlo_advantages, n_step_advantages

TEN = np.arange(10.0)


def labelled(advantage, rollouts, rule=None, chance=None):
    rule = rule or LabelRule()
    return label_frames(advantage, find_thresholds(advantage, rollouts, rule), rollouts, rule, chance)


def test_the_top_thirty_percent_are_positive():
    labels = labelled(TEN, make_rollouts([10]))
    assert labels.thresholds.tolist() == [pytest.approx(6.3)]  # the 70th percentile of 0 … 9
    assert labels.code.tolist() == [NEGATIVE] * 7 + [POSITIVE] * 3


def test_strictly_above_the_threshold():
    labels = labelled(np.zeros(4), make_rollouts([4]), LabelRule(threshold=0.0))
    assert labels.code.tolist() == [NEGATIVE] * 4


def test_each_task_has_its_own_threshold():
    rollouts = make_rollouts([10, 10], tasks=[0, 1])
    advantage = np.concatenate([TEN, TEN + 100])
    assert labelled(advantage, rollouts).thresholds.tolist() == [pytest.approx(6.3), pytest.approx(106.3)]
    together = labelled(advantage, rollouts, LabelRule(threshold_per="dataset"))
    assert together.thresholds.tolist() == [pytest.approx(np.percentile(advantage, 70))] * 2
    assert (together.code[:10] == NEGATIVE).all()


def test_interventions_are_positive_and_do_not_move_the_threshold():
    advantage = np.concatenate([np.full(5, -100.0), TEN])
    rollouts = make_rollouts([15], intervention=flags((0, 5), size=15))
    labels = labelled(advantage, rollouts)
    assert labels.thresholds[0] == pytest.approx(6.3)
    assert (labels.code[:5] == POSITIVE).all()


def test_standing_still_in_an_intervention_is_none():
    rollouts = make_rollouts([10], intervention=flags((2, 6), size=10), still=flags((4, 8), size=10))
    assert labelled(TEN, rollouts).code[2:8].tolist() == [POSITIVE, POSITIVE, NONE, NONE, NEGATIVE, NEGATIVE]


def test_demonstrations_keep_their_labels():
    rollouts = make_rollouts([5, 10], intervention=flags((0, 5), size=15))
    labels = labelled(np.concatenate([np.full(5, 50.0), TEN]), rollouts)
    assert (labels.code[:5] == KEPT).all()
    assert labels.thresholds[0] == pytest.approx(6.3)


def test_frames_before_a_takeover_become_negative():
    rollouts = make_rollouts([10, 4], intervention=flags((6, 8), (10, 11), size=14))
    found = before_takeover(rollouts, 2)
    assert np.flatnonzero(found).tolist() == [4, 5]  # not 8 and 9: the next takeover is in another episode
    high = np.full(14, 1.0)
    labels = labelled(high, rollouts, LabelRule(threshold=0.0, takeover_frames=2))
    assert labels.code[:8].tolist() == [POSITIVE] * 4 + [NEGATIVE] * 2 + [POSITIVE] * 2
    assert not before_takeover(rollouts, 0).any()


def test_the_abstain_band():
    chance = np.array([0.1, 0.35, 0.41, 0.5, 0.59, 0.61, 0.9])
    labels = labelled(np.full(7, 1.0), make_rollouts([7]), LabelRule(threshold=0.0, abstain=0.1), chance)
    assert labels.code.tolist() == [POSITIVE, POSITIVE, NONE, NONE, NONE, POSITIVE, POSITIVE]


def test_a_task_of_interventions_only_has_no_threshold():
    rollouts = make_rollouts([4, 10], tasks=[1, 0], intervention=flags((0, 4), size=14))
    thresholds = find_thresholds(np.concatenate([np.zeros(4), TEN]), rollouts, LabelRule())
    assert thresholds[0] == pytest.approx(6.3)
    assert np.isnan(thresholds[1])


def test_a_dataset_of_demonstrations_is_refused():
    rollouts = make_rollouts([4], intervention=flags((0, 4), size=4))
    with pytest.raises(LabelError, match="got only interventions"):
        find_thresholds(np.zeros(4), rollouts, LabelRule())


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (LabelRule(lookahead=3), lambda *inputs: n_step_advantages(*inputs, 3)),
        (LabelRule("monte_carlo"), monte_carlo_advantages),
        (LabelRule("gae", gae_lambda=0.5), lambda *inputs: gae_advantages(*inputs, 0.5)),
    ],
)
def test_the_rule_chooses_the_estimator(rule, expected):
    rollouts = make_rollouts([6, 4])
    values = np.linspace(-1, 0, 10, dtype=np.float32)
    inputs = (rollouts.reward, values, rollouts.lengths, np.zeros(2))
    np.testing.assert_array_equal(compute_advantages(values, rollouts, rule), expected(*inputs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lookahead": 0}, "--lookahead: expected at least 1 frame, got 0"),
        ({"top_percent": 0.0}, r"--top_percent: expected a number in \(0, 100\], got 0.0"),
        ({"gae_lambda": 1.5}, "--gae_lambda"),
        ({"takeover_frames": -1}, "--takeover_frames"),
        ({"abstain": 0.5}, r"--abstain: expected a number in \[0, 0.5\)"),
        ({"abstain": 0.1, "estimator": "gae"}, "GAE mixes many horizons"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(ConfigError, match=message):
        LabelRule(**settings)


def test_positives_are_no_more_than_what_is_not_in_failures():
    """Ten of fifty frames are in successes: the top 30 % would be frames of failures for the most part."""
    outcomes = [Outcome.SUCCESS, *[Outcome.FAILURE] * 4]
    rollouts = make_rollouts([10] * 5, outcomes)
    assert positive_percents(rollouts, LabelRule()).tolist() == [pytest.approx(20.0)]
    assert positive_percents(rollouts, LabelRule(top_percent=10.0)).tolist() == [10.0]
    labels = labelled(np.arange(50.0), rollouts)
    assert (labels.code == POSITIVE).sum() == 10
    hopeless = make_rollouts([10], [Outcome.FAILURE])
    assert (labelled(TEN, hopeless).code == NEGATIVE).all()
    two_tasks = make_rollouts([10] * 5, outcomes, tasks=[0, 0, 1, 1, 1])
    assert positive_percents(two_tasks, LabelRule()).tolist() == [30.0, 0.0]
    assert positive_percents(two_tasks, LabelRule(threshold_per="dataset")).tolist() == [pytest.approx(20.0)] * 2
