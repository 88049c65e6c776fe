"""Returns, labels and thresholds, for whatever episodes there are."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rollout_sets import make_rollouts

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.relabel.label import POSITIVE, LabelRule, find_thresholds, label_frames
from pistar_vf.returns import Normaliser, Outcome, recap_columns

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@settings(deadline=None)
@given(lengths=LENGTHS, seed=st.integers(0, 999), rule=st.sampled_from(["paper", "episode_ramp"]))
def test_targets_rise_in_successes_and_are_at_the_bottom_in_failures(lengths, seed, rule):
    """Within [-1, 0]; a success ends at 0 and rises by equal steps; a failure is -1 by the paper's rule."""
    outcomes = [(Outcome.SUCCESS, Outcome.FAILURE)[i] for i in np.random.default_rng(seed).integers(0, 2, len(lengths))]
    normaliser = Normaliser.measure(rule, np.array(lengths), ["t"] * len(lengths))
    found = normaliser.targets(np.array(lengths), ["t"] * len(lengths), outcomes)
    assert (found >= -1).all()
    assert (found <= 0).all()
    for outcome, own in zip(outcomes, EpisodeLayout(np.array(lengths)).split(found)):
        if outcome is Outcome.FAILURE:
            assert own[-1] == -1
            continue
        scale = max(lengths) if rule == "paper" else len(own)
        np.testing.assert_allclose(own, -np.arange(len(own))[::-1] / scale, atol=1e-6)


@given(length=st.integers(1, 60), outcome=st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE]))
def test_labels_are_the_sums_of_their_rewards(length, outcome):
    """To the end of the episode; the last frame of a failure is worth its penalty."""
    columns = recap_columns(length, outcome)
    summed = np.cumsum(columns["reward_label"][::-1].astype(np.float64))[::-1]
    if outcome is Outcome.SUCCESS:
        np.testing.assert_allclose(columns["value_label"], summed, atol=1e-5)
    else:
        assert (columns["value_label"] == -1).all()


@settings(deadline=None)
@given(
    lengths=LENGTHS,
    seed=st.integers(0, 999),
    percent=st.floats(1, 100),
    shift=st.integers(-3, 3),
)
def test_thresholds_leave_so_many_above(lengths, seed, percent, shift):
    """No more than the share, and no fewer than one frame less; a shift of all advantages changes no label."""
    advantage = np.random.default_rng(seed).permutation(sum(lengths)).astype(np.float64)
    rollouts, rule = make_rollouts(lengths), LabelRule(top_percent=percent)
    cut = [
        label_frames(own, find_thresholds(own, rollouts, rule), rollouts, rule).code
        for own in (advantage, advantage + shift)
    ]
    positive = int((cut[0] == POSITIVE).sum())
    assert percent / 100 * (len(advantage) - 1) - 1 <= positive <= percent / 100 * len(advantage) + 1
    np.testing.assert_array_equal(*cut)
    assert advantage[cut[0] == POSITIVE].min(initial=np.inf) > advantage[cut[0] != POSITIVE].max(initial=-np.inf)
