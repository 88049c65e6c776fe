"""Columns to rollouts: units, what follows past the end, and what is refused."""

import dataclasses
import functools

import numpy as np
import pytest
from support.labelled_sets import episode, in_frames

from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.errors import LabelError
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.targets import read_targets
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.label import find_thresholds
from pistar_vf.relabel.open_rewards import fill_rewards
from pistar_vf.relabel.read import by_source, read_rollouts, read_upstream_rollouts
from pistar_vf.returns import Normaliser, Outcome
from pistar_vf.testing.lerobot_writer import write_lerobot_v21


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


def test_a_reward_column_of_other_units_is_refused(spec, tmp_path):
    """Minus one a frame beside value labels of an episode's share: three frames owe 2/3 before the last."""
    values = np.array([-2 / 3, -1 / 3, 0], np.float32)
    columns = {"value_label": values, "reward_label": np.float32([-1 / 3, -1 / 3, 0]), "raw": np.float32([-1, -1, 0])}
    data = write_lerobot_v21(tmp_path / "set", [episode(3, columns)] * 2, fps=10, codec="mpeg4")
    own = dataclasses.replace(spec, state=None)
    find = functools.partial(read_rollouts, load_lerobot(data), own, convention="recap")
    assert find(reward_column="reward_label").reward.tolist() == [*columns["reward_label"]] * 2
    with pytest.raises(LabelError, match=r"episode 0: column 'raw' is in other units .* about -0\.667, got -2; leave"):
        find(reward_column="raw")


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
    filled = fill_rewards(found, dataset, spec.normaliser, values)
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


def test_upstreams_gate_is_told_how_episodes_ended(dataset):
    told = {episode.index: Outcome.FAILURE for episode in dataset.episodes}
    found = read_upstream_rollouts(
        dataset, reward_column="reward_label", intervention_column="intervention", outcomes=told
    )
    assert set(found.outcomes) == {Outcome.FAILURE}


def progress_set(path):
    """Two episodes of measured progress: 0.1, 0.4, 0.3, 1 and, a failure, 0.2, 0.6."""
    values = ([-0.9, -0.6, -0.7, 0], [-0.8, -0.4])
    owed = ([-0.3, 0.1, -0.7, 0], [-0.4, -0.4])
    columns = [{"value_label": np.float32(v), "reward_label": np.float32(r)} for v, r in zip(values, owed)]
    episodes = [episode(len(column["value_label"]), column) for column in columns]
    return load_lerobot(write_lerobot_v21(path, episodes, fps=10, codec="mpeg4"))


def test_a_model_of_measured_progress_scores_data_with_measured_progress(spec, tmp_path):
    """It once could be trained and never used: no outcome says what a step is worth."""
    own = dataclasses.replace(spec, label_conventions=("srpo_progress",), normaliser=None, state=None)
    found = read_rollouts(progress_set(tmp_path / "set"), own)
    assert found.outcomes == (Outcome.SUCCESS, Outcome.FAILURE)
    np.testing.assert_allclose(found.reward, [-0.3, 0.1, -0.7, 0, -0.4, -0.4], atol=1e-6)
    np.testing.assert_allclose(found.target, [-0.9, -0.6, -0.7, 0, -0.8, -0.4], atol=1e-6)
    # What is left to earn is the target: rewards and targets are one unit.
    np.testing.assert_allclose(np.cumsum(found.reward[:4][::-1])[::-1], found.target[:4], atol=1e-6)
    assert not found.keeps_last_value.any()


def test_a_model_of_measured_progress_needs_measured_progress(spec, dataset):
    own = dataclasses.replace(spec, label_conventions=("srpo_progress",), normaliser=None)
    message = r"expected labels of the convention 'srpo_progress' in every episode, .* got recap.* their progress too"
    with pytest.raises(LabelError, match=message):
        read_rollouts(dataset, own)


def test_sources_stand_in_for_tasks(spec, dataset):
    """Where thresholds are cut by: two sources of three episodes each, and their own shares of positives."""
    said = [dataclasses.replace(e, metadata={**e.metadata, "source": "ab"[e.index % 2]}) for e in dataset.episodes]
    merged = dataclasses.replace(dataset, episodes=tuple(said))
    rollouts = read_rollouts(dataset, spec)
    found = by_source(rollouts, merged)
    assert found.tasks == ("a", "b")
    np.testing.assert_array_equal(found.task, rollouts.episode % 2)
    advantage = np.arange(len(found.task), dtype=float) + 1000 * found.task
    rule = LabelRule(threshold_per="source", top_percent=25.0)
    thresholds = find_thresholds(advantage, found, rule)
    for source in (0, 1):
        own = advantage[(found.task == source) & found.autonomous]
        assert thresholds[source] == np.percentile(own, 75)


def test_episodes_without_a_source_cannot_be_cut_by_it(spec, dataset):
    with pytest.raises(
        LabelError, match=r"--threshold_per source: expected the key 'source' .* got none in episodes \[0"
    ):
        by_source(read_rollouts(dataset, spec), dataset)
