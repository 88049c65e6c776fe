"""Fragments, pieces of episodes as `lerobot-rollout`'s DAgger saves them, through relabelling. Oracle: by hand."""

import dataclasses

import numpy as np
import pytest
from support.labelled_sets import label, write
from support.rollout_sets import flags, make_rollouts
from support.small_models import CONFIG

from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.errors import LabelError
from pistar_vf.labels.targets import read_targets
from pistar_vf.relabel.gate import _shares, _sources
from pistar_vf.relabel.horizons import default_lookahead
from pistar_vf.relabel.label import (
    NEGATIVE,
    NONE,
    POSITIVE,
    LabelRule,
    Labels,
    find_thresholds,
    label_as_upstream,
    label_frames,
    positive_percents,
)
from pistar_vf.relabel.open_rewards import _with_rewards_of_fragments, fill_rewards
from pistar_vf.relabel.read import read_rollouts
from pistar_vf.relabel.trajectories import rank, score_trajectories
from pistar_vf.returns import Normaliser, Outcome

S, F, PIECE = Outcome.SUCCESS, Outcome.FAILURE, Outcome.FRAGMENT
TEN = np.arange(10.0)


def with_piece(high: float = 100.0, **changes):
    """A success of ten frames and a piece of five, both the policy's; the piece's advantages are beyond the others'."""
    return np.concatenate([TEN, np.full(5, high)]), make_rollouts([10, 5], [S, PIECE], **changes)


@pytest.mark.parametrize("high", [100.0, -100.0, 5.0])
@pytest.mark.parametrize("per", ["task", "dataset"])
def test_no_threshold_is_measured_on_a_fragment(high, per):
    advantage, rollouts = with_piece(high)
    rule = LabelRule(threshold_per=per)
    thresholds = find_thresholds(advantage, rollouts, rule)
    assert thresholds.tolist() == [pytest.approx(6.3)]  # the 70th percentile of 0 … 9
    code = label_frames(advantage, thresholds, rollouts, rule).code
    assert set(code[10:].tolist()) == {POSITIVE if high > 6.3 else NEGATIVE}


def test_a_task_of_fragments_alone_gets_no_word():
    """One without a threshold of its own; by the dataset's, or a given one, it has."""
    advantage, rollouts = with_piece(tasks=[0, 1])
    rule = LabelRule()
    thresholds = find_thresholds(advantage, rollouts, rule)
    assert thresholds[0] == pytest.approx(6.3)
    assert np.isnan(thresholds[1])
    assert label_frames(advantage, thresholds, rollouts, rule).code[10:].tolist() == [NONE] * 5
    for known in (LabelRule(threshold_per="dataset"), LabelRule(threshold=1.0)):
        thresholds = find_thresholds(advantage, rollouts, known)
        assert label_frames(advantage, thresholds, rollouts, known).code[10:].tolist() == [POSITIVE] * 5


def test_fragments_alone_have_no_threshold():
    rollouts = make_rollouts([6, 5], [PIECE, PIECE], intervention=flags((0, 6), size=11))
    with pytest.raises(LabelError, match=r"expected whole episodes in which the policy acted, .* or pass --threshold"):
        find_thresholds(np.zeros(11), rollouts, LabelRule())
    assert find_thresholds(np.zeros(11), rollouts, LabelRule(threshold=0.5)).tolist() == [0.5]


def test_windows_of_corrections_are_corrections_and_no_demonstrations():
    """A whole episode of the operator keeps its words; a window is positive, and "none" where the arm stands still."""
    intervention, still = flags((0, 5), (15, 20), size=20), flags((17, 20), size=20)
    rollouts = make_rollouts([5, 10, 5], [S, S, PIECE], intervention=intervention, still=still)
    assert rollouts.demonstration.tolist() == [True] * 5 + [False] * 15
    advantage = np.concatenate([np.zeros(5), TEN, np.zeros(5)])
    code = label_frames(advantage, find_thresholds(advantage, rollouts, LabelRule()), rollouts, LabelRule()).code
    assert code[15:].tolist() == [POSITIVE, POSITIVE, NONE, NONE, NONE]
    as_upstream = label_as_upstream(advantage.astype(np.float32), rollouts, 3, 30.0)
    whole = make_rollouts([5, 10, 5], [S, S, S], intervention=intervention, still=still)
    np.testing.assert_array_equal(as_upstream.code, label_as_upstream(np.float32(advantage), whole, 3, 30.0).code)


def test_what_is_counted_leaves_fragments_out():
    rollouts = make_rollouts([40, 60, 5, 5, 5], [S, F, PIECE, PIECE, PIECE])
    assert default_lookahead(rollouts) == 10  # a fifth of the median of 40 and 60, not of 5
    assert rollouts.counted.sum() == 100
    # 40 of the 100 counted frames are of successes; with the pieces it would be 55 of 115.
    assert positive_percents(rollouts, LabelRule(top_percent=90.0)).tolist() == [pytest.approx(40.0)]


def test_the_gate_shows_fragments_as_a_source_of_their_own():
    rollouts = make_rollouts([4, 3, 2], [S, PIECE, PIECE], intervention=flags((7, 9), size=9))
    inside = dict(_sources(rollouts))
    assert np.sum(list(inside.values()), axis=0).tolist() == [1] * 9  # every frame is in exactly one
    assert inside["autonomous, fragment"].tolist() == [False] * 4 + [True] * 3 + [False] * 2
    assert inside["intervention"].sum() == 2
    labels = Labels(np.full(9, POSITIVE), np.zeros(9), np.zeros(1))
    assert [(row.source, row.num_frames) for row in _shares(rollouts, labels)] == [
        ("autonomous, success", 4),
        ("autonomous, fragment", 3),
        ("intervention", 2),
    ]


def test_a_fragment_ranks_neither_as_a_failure_nor_as_a_time_out():
    rollouts = make_rollouts([2, 2, 2, 2], [PIECE, F, Outcome.TIMEOUT, S])
    labels = Labels(np.full(8, POSITIVE), np.arange(8.0)[::-1], np.zeros(1))
    ranked = rank(score_trajectories(np.zeros(8), rollouts, labels, range(4)), "outcome")
    assert [trajectory.episode_index for trajectory in ranked] == [3, 2, 1, 0]


def test_a_step_of_a_fragment_costs_what_steps_cost_in_its_task():
    """Two whole episodes of task 0 (-1/4 and -1/10 a step), one of task 1 (-1/5), pieces of tasks 0, 1 and 2."""
    rollouts = make_rollouts([4, 10, 5, 3, 3, 3], [S, F, S, PIECE, PIECE, PIECE], tasks=[0, 0, 1, 0, 1, 2])
    reward = rollouts.reward.copy()
    reward[19:] = np.nan
    filled = _with_rewards_of_fragments(dataclasses.replace(rollouts, reward=reward)).reward
    np.testing.assert_array_equal(filled[:19], rollouts.reward[:19])
    np.testing.assert_allclose(filled[19:22], [-0.175, -0.175, 0], atol=1e-6)
    np.testing.assert_allclose(filled[22:25], [-0.2, -0.2, 0], atol=1e-6)
    np.testing.assert_allclose(filled[25:], [-0.55 / 3, -0.55 / 3, 0], atol=1e-6)
    alone = make_rollouts([3, 3], [PIECE, PIECE], reward=np.full(6, np.nan, np.float32))
    with pytest.raises(LabelError, match="expected whole episodes, to know what a step of a fragment costs"):
        _with_rewards_of_fragments(alone)


@pytest.fixture
def dataset(tmp_path):
    """Episodes of 4, 5 and 3 frames: a success, a piece, a failure."""
    return label(write(tmp_path / "raw"), tmp_path / "labelled", outcomes={0: S, 1: PIECE, 2: F})


def spec_of(normaliser: Normaliser) -> ValueSpec:
    """Of a model without a state."""
    inputs = {"camera_keys": {}, "image_fit": "pad", "state": None, "tokenizer_sha256": "", "trained_on": None}
    labels = {"label_column": "value_label", "label_conventions": ("recap",), "normaliser": normaliser}
    return ValueSpec(model=CONFIG, **inputs, **labels)


RAMP, PAPER = Normaliser("episode_ramp"), Normaliser("paper", {"push": 4})


@pytest.mark.parametrize(
    ("normaliser", "column", "step"),
    [(RAMP, None, (-1 / 4 - 1 / 3) / 2), (RAMP, "reward_label", (-1 / 4 - 1 / 3) / 2), (PAPER, None, -1 / 4)],
)
def test_rewards_of_fragments_whatever_their_length(dataset, normaliser, column, step):
    outcomes = {0: S, 1: PIECE, 2: F}
    own = read_rollouts(dataset, spec_of(normaliser), outcomes=outcomes, reward_column=column, convention="recap")
    assert own.keeps_last_value.tolist() == [False, True, column is not None]  # recap's failures have no penalty
    assert np.isnan(own.target[4:9]).all()
    assert np.isfinite(np.delete(own.target, np.s_[4:9])).all()
    filled = fill_rewards(own, dataset, normaliser, np.full(12, -0.5, np.float32))
    np.testing.assert_allclose(filled.reward[4:9], [step] * 4 + [0], atol=1e-6)


def test_labels_of_fragments_are_empty_and_never_read(dataset):
    values = dataset.read_column("value_label")
    assert np.isnan(values[4:9]).all()
    assert np.isfinite(dataset.read_column("reward_label")).all()
    assert dataset.read_column("reward").tolist() == [0, 0, 0, 1, *[0] * 8]
    found = read_targets(dataset, outcomes={0: S, 1: PIECE, 2: F})
    assert found.fragments == found.open_ended == {1}
    assert found.timeouts.episodes == ()
    with pytest.raises(LabelError, match=r"episode 1, frame 0: expected a finite value label, got nan"):
        read_targets(dataset)
