"""Columns to rollouts: units, what follows past the end, and what is refused."""

import dataclasses

import numpy as np
import pytest
from support.labelled_sets import in_frames

from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.errors import LabelError
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.targets import read_targets
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.read import fill_timeouts, read_rollouts, read_upstream_rollouts
from pistar_vf.returns import Normaliser, Outcome


@pytest.fixture(scope="module")
def spec(trained_run):
    return load_value_spec(trained_run.checkpoint)


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    return load_lerobot(tiny_dataset)


def ends(rollouts):
    return np.cumsum(rollouts.lengths) - 1


def test_computed_rewards_of_an_episode_ramp(dataset, spec):
    found = read_rollouts(dataset, spec)
    assert spec.normaliser == Normaliser("episode_ramp")
    expected = -1 / np.repeat(found.lengths, found.lengths)
    failed = np.array([outcome is Outcome.FAILURE for outcome in found.outcomes])
    assert 0 < failed.sum() < len(failed)
    expected[ends(found)] = np.where(failed, -1.0, 0.0)
    np.testing.assert_allclose(found.reward, expected, atol=1e-6)
    assert not found.keeps_last_value.any()
    np.testing.assert_array_equal(found.target, dataset.read_column("value_label"))
    np.testing.assert_array_equal(found.intervention, dataset.read_column("intervention") == 1)


def test_rewards_of_the_dataset_bring_their_own_end(dataset, spec):
    """`recap` has no penalty in the rewards, so V stands still past a failure's end."""
    found = read_rollouts(dataset, spec, reward_column="reward_label")
    np.testing.assert_array_equal(found.reward, dataset.read_column("reward_label"))
    assert found.keeps_last_value.tolist() == [outcome is Outcome.FAILURE for outcome in found.outcomes]


def test_labels_in_frames_say_how_the_episodes_ended(dataset, spec, tiny_dataset, tmp_path):
    raw = load_lerobot(in_frames(tiny_dataset, tmp_path / "nttg", -1000.0))
    found, expected = read_rollouts(raw, spec), read_rollouts(dataset, spec)
    assert found.outcomes == expected.outcomes
    np.testing.assert_array_equal(found.target, expected.target)
    np.testing.assert_array_equal(found.reward, expected.reward)
    own = dataclasses.replace(spec, normaliser=read_targets(raw).normaliser, label_conventions=("nttg",))
    assert read_rollouts(raw, own).target.min() == -1.0
    with pytest.raises(LabelError, match=r"says what rewards are, got 'nttg', which does not; leave out --reward_col"):
        read_rollouts(raw, own, reward_column="reward_label")


def test_rewards_in_other_units_are_refused(dataset, spec):
    paper = Normaliser("paper", dict.fromkeys(dataset.prompts, 100))
    other = dataclasses.replace(spec, normaliser=paper)
    assert read_rollouts(dataset, other).reward.min() == -1.0
    with pytest.raises(LabelError, match="'reward_label' is in other units than the model's values"):
        read_rollouts(dataset, other, reward_column="reward_label")


def test_a_missing_reward_column(dataset, spec):
    with pytest.raises(LabelError, match="no reward column 'rewards'"):
        read_rollouts(dataset, spec, reward_column="rewards")
    with pytest.raises(LabelError, match="expected the reward column 'rewards', as --compat upstream needs it"):
        read_upstream_rollouts(dataset, reward_column="rewards", intervention_column="intervention")


def test_timeouts_keep_the_last_value_and_get_their_rewards_from_it(tiny_dataset, spec):
    dataset = load_lerobot(tiny_dataset)
    outcomes = read_outcomes(dataset, outcome_column="outcome")
    late = [i for i, episode in enumerate(dataset.episodes) if outcomes[episode.index] is Outcome.TIMEOUT]
    assert late  # the synthetic robot's schedule has one among the first six
    without = {**outcomes, **{dataset.episodes[i].index: Outcome.TIMEOUT for i in late}}
    found = read_rollouts(dataset, spec, outcomes=without)
    assert np.flatnonzero(found.keeps_last_value).tolist() == late
    assert np.isnan(found.target[np.isin(found.episode, late)]).all()
    values = np.full(dataset.num_frames, -0.75, np.float32)
    filled = fill_timeouts(found, dataset, spec.normaliser, values)
    assert np.isfinite(filled.reward).all()
    # With a quarter of the way behind it, T frames cost ¼ together.
    own = filled.reward[filled.episode == late[0]]
    np.testing.assert_allclose(own[:-1], -0.25 / len(own), rtol=1e-5)
    assert own[-1] == 0.0


def test_a_model_without_a_unit_is_refused(dataset, spec):
    with pytest.raises(LabelError, match="says what a step is worth"):
        read_rollouts(dataset, dataclasses.replace(spec, normaliser=None))


def test_interventions_must_be_flags(dataset, spec):
    with pytest.raises(LabelError, match="expected 0 or 1 in every frame, got"):
        read_rollouts(dataset, spec, intervention_column="frame_index")


def test_a_dataset_without_interventions(dataset, spec):
    assert not read_rollouts(dataset, spec, intervention_column="nowhere").intervention.any()


def test_a_model_without_state_sees_no_standing_still(dataset, spec):
    assert read_rollouts(dataset, spec).still.any()
    assert not read_rollouts(dataset, dataclasses.replace(spec, state=None)).still.any()


def test_standing_still_is_a_speed(dataset, spec):
    """At twice the frame rate each step of the same speed is half as long."""
    still = read_rollouts(dataset, spec).still
    fast = dataclasses.replace(dataset, fps=2 * dataset.fps)
    np.testing.assert_array_equal(read_rollouts(fast, spec, still_tolerance=0.6).still, still)
    assert read_rollouts(fast, spec).still.sum() < still.sum()
    assert not read_rollouts(dataset, spec, still_tolerance=0.0).still.any()


def test_upstream_reads_rewards_as_they_are(dataset):
    found = read_upstream_rollouts(dataset, reward_column="reward_label", intervention_column="intervention")
    np.testing.assert_array_equal(found.reward, dataset.read_column("reward_label"))
    assert not found.keeps_last_value.any()  # F = 0 past every end, which is upstream's trap
