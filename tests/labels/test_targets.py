"""What a model is trained on: from columns, from outcomes, in the units of a model that exists already."""

from pathlib import Path

import numpy as np
import pytest
from support.labelled_sets import LENGTHS, OUTCOMES, VALUES, episode, label, write, write_unlabelled

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.labels.split import episode_strata
from pistar_vf.labels.targets import episode_tasks, read_targets
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.returns import Normaliser, Outcome
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

S, F, T = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT
PAPER = [-3 / 5, -2 / 5, -1 / 5, 0, -1, -1, -1, -1, -1, -2 / 5, -1 / 5, 0]
"""By hand: the one task's longest episode has 5 frames."""


@pytest.fixture
def unlabelled(tmp_path: Path) -> LeRobotDataset:
    return write_unlabelled(tmp_path / "source")


@pytest.fixture
def labelled(unlabelled: LeRobotDataset, tmp_path: Path) -> LeRobotDataset:
    return label(unlabelled, tmp_path / "labelled")


def columns_in(path: Path, **columns: list[float]) -> LeRobotDataset:
    ends = np.cumsum(LENGTHS)[:-1]
    parts = {name: np.split(np.array(values, np.float32), ends) for name, values in columns.items()}
    return write(path, [{name: part[i] for name, part in parts.items()} for i in range(3)])


def test_columns_are_taken_as_they_are(labelled: LeRobotDataset) -> None:
    targets = read_targets(labelled)
    np.testing.assert_array_equal(targets.labels, np.float32(VALUES))
    assert (targets.column, targets.conventions, targets.outcomes) == ("value_label", ("recap",), OUTCOMES)
    assert targets.normaliser == Normaliser("episode_ramp")
    assert targets.timeouts.episodes == ()


def test_a_convention_that_cannot_be_told_is_said_to_be_one_of_several(tmp_path: Path) -> None:
    dataset = columns_in(tmp_path / "set", value_label=VALUES)
    assert read_targets(dataset).conventions == ("recap", "libero_rollout")
    assert read_targets(dataset, convention="libero_rollout").conventions == ("libero_rollout",)


def test_labels_of_no_known_convention_have_no_unit(tmp_path: Path) -> None:
    targets = read_targets(columns_in(tmp_path / "set", value_label=[-0.5] * 12))
    assert (targets.conventions, targets.normaliser) == ((), None)


def test_a_declaration_that_the_data_contradict_is_refused(labelled: LeRobotDataset) -> None:
    with pytest.raises(LabelError, match=r"labelled: episode 0, frame 0: expected value_label -1 .*'robot_collector'"):
        read_targets(labelled, convention="robot_collector")


def test_the_papers_target_from_outcomes_needs_no_labels(unlabelled: LeRobotDataset) -> None:
    targets = read_targets(unlabelled, "paper", outcomes=OUTCOMES)
    np.testing.assert_array_equal(targets.labels, np.float32(PAPER))
    assert (targets.column, targets.conventions, targets.outcomes) == ("", ("paper",), OUTCOMES)
    assert targets.normaliser == Normaliser("paper", {"push": 5})


def test_outcomes_may_come_from_the_labels(labelled: LeRobotDataset) -> None:
    targets = read_targets(labelled, "paper", failure_penalty=1.0)
    expected = [*PAPER[:4], -1, -0.8, -0.6, -0.4, -0.2, *PAPER[9:]]
    np.testing.assert_allclose(targets.labels, expected, atol=1e-7)
    assert (targets.column, targets.outcomes) == ("value_label", OUTCOMES)


def test_the_per_episode_ramp_from_labels_of_the_collector(unlabelled: LeRobotDataset, tmp_path: Path) -> None:
    collected = label(unlabelled, tmp_path / "out", convention="robot_collector")
    assert read_targets(collected).labels[0] == -1
    np.testing.assert_array_equal(read_targets(collected, "episode_ramp").labels, np.float32(VALUES))


NTTG = [-3, -2, -1, 0, -9, -9, -9, -9, -9, -2, -1, 0]


def test_labels_in_frames_are_divided_by_the_tasks_longest_episode(tmp_path: Path) -> None:
    dataset = columns_in(tmp_path / "set", value_label=NTTG)
    targets = read_targets(dataset)
    np.testing.assert_array_equal(targets.labels, np.float32(PAPER))
    assert (targets.column, targets.conventions, targets.outcomes) == ("value_label", ("nttg",), OUTCOMES)
    assert targets.normaliser == Normaliser("paper", {"push": 5})
    np.testing.assert_array_equal(read_targets(dataset, convention="nttg").labels, np.float32(PAPER))
    # In the unit of a model that knows longer episodes; and by the length of each.
    longer = read_targets(dataset, normaliser=Normaliser("paper", {"push": 10}))
    np.testing.assert_allclose(longer.labels[:4], [-0.3, -0.2, -0.1, 0], atol=1e-7)
    ramp = read_targets(dataset, "episode_ramp")
    np.testing.assert_array_equal(ramp.labels, np.float32(VALUES))
    assert ramp.outcomes == OUTCOMES


def test_labels_in_frames_and_outcomes_must_agree(tmp_path: Path) -> None:
    dataset = columns_in(tmp_path / "set", value_label=NTTG)
    assert read_targets(dataset, outcomes=OUTCOMES).outcomes == OUTCOMES
    with pytest.raises(LabelError, match=r"episode 1: expected the labels of a success, .* got those of a failure"):
        read_targets(dataset, outcomes={**OUTCOMES, 1: S})


def test_a_timeout_among_labels_in_frames_is_bootstrapped(tmp_path: Path) -> None:
    dataset = columns_in(tmp_path / "set", value_label=[*NTTG[:4], *[np.nan] * 5, *NTTG[9:]])
    targets = read_targets(dataset, outcomes={**OUTCOMES, 1: T})
    assert (targets.conventions, len(targets.timeouts.episodes)) == (("nttg",), 1)
    targets.timeouts.write(targets.labels, np.array([-0.4]))
    np.testing.assert_allclose(targets.labels, [*PAPER[:4], -1, -1, -0.8, -0.6, -0.4, *PAPER[9:]], atol=1e-6)


def test_labels_that_nearly_count_frames_are_refused_with_the_way_to_the_difference(tmp_path: Path) -> None:
    dataset = columns_in(tmp_path / "set", value_label=[-3, -2, -1, 0, -9, -9, -9, -9, -9, -3, -1, 0])
    with pytest.raises(
        LabelError, match=r"frame 0: expected a value label in \[-1, 0\], got -3.*--label_convention nttg"
    ):
        read_targets(dataset)
    with pytest.raises(LabelError, match=r"set: episode 2, frame 0: expected value_label -2 by the declared .*got -3"):
        read_targets(dataset, convention="nttg")


def test_an_infinite_reward_label_is_refused(tmp_path: Path) -> None:
    rewards = [0.0] * 12
    rewards[6] = np.inf
    dataset = columns_in(tmp_path / "set", value_label=VALUES, reward_label=rewards)
    with pytest.raises(
        LabelError, match=r"'reward_label' .*episode 1, frame 2: expected a finite reward label, got inf"
    ):
        read_targets(dataset)


ADD_VALUE_LABELS = [-1, -3 / 4, -2 / 4, -1 / 4, -1, -4 / 5, -3 / 5, -2 / 5, -1 / 5, -1, -2 / 3, -1 / 3]


@pytest.mark.parametrize(("values", "name"), [(ADD_VALUE_LABELS, "add_value_labels"), ([-0.5] * 12, "unknown")])
def test_outcomes_are_never_guessed(tmp_path: Path, values, name: str) -> None:
    message = rf"expected labels that tell failures from successes, got the convention {name}; say how .*--outcome_file"
    with pytest.raises(LabelError, match=message):
        read_targets(columns_in(tmp_path / "set", value_label=values), "paper")


def test_labels_and_outcomes_must_agree(labelled: LeRobotDataset) -> None:
    read_targets(labelled, outcomes=OUTCOMES)
    message = r"episode 1: expected the labels of a success, as --outcome_column .* says, got those of a failure"
    with pytest.raises(LabelError, match=message):
        read_targets(labelled, outcomes={**OUTCOMES, 1: S})
    with pytest.raises(LabelError, match=r"episode 2: expected the labels of a failure, .* got those of a success"):
        read_targets(labelled, outcomes={**OUTCOMES, 2: F})


def test_a_later_dataset_is_scaled_by_the_first_ones_normaliser(unlabelled: LeRobotDataset, tmp_path: Path) -> None:
    """Its own longest episode would be 5; the model's was 10."""
    targets = read_targets(unlabelled, "paper", outcomes=OUTCOMES, normaliser=Normaliser("paper", {"push": 10}))
    assert targets.labels[:4].tolist() == np.float32([-0.3, -0.2, -0.1, 0]).tolist()
    with pytest.raises(LabelError, match=r"\('fold'\), got 'push'"):
        read_targets(unlabelled, "paper", outcomes=OUTCOMES, normaliser=Normaliser("paper", {"fold": 10}))


@pytest.mark.parametrize("penalty", [None, 2.0])
def test_columns_of_the_paper_show_their_normaliser(unlabelled: LeRobotDataset, tmp_path: Path, penalty) -> None:
    normaliser = Normaliser("paper", {"push": 9}, penalty)
    copy = label(unlabelled, tmp_path / "out", normaliser=normaliser)
    targets = read_targets(copy)
    assert (targets.conventions, targets.normaliser) == (("paper",), normaliser)
    computed = read_targets(unlabelled, "paper", outcomes=OUTCOMES, normaliser=normaliser)
    np.testing.assert_allclose(targets.labels, computed.labels, atol=1e-7)


def test_a_failure_under_a_small_penalty_is_one(unlabelled: LeRobotDataset, tmp_path: Path) -> None:
    """Its value labels are -1 nowhere; its last reward says it."""
    copy = label(unlabelled, tmp_path / "out", normaliser=Normaliser("paper", {"push": 20}, 2.0))
    targets = read_targets(copy)
    assert targets.outcomes == OUTCOMES
    assert [outcome for outcome, _ in episode_strata(copy, targets.labels, targets.outcomes)] == [S, F, S]
    assert read_targets(copy, "episode_ramp").outcomes == OUTCOMES
    read_targets(copy, outcomes=OUTCOMES)
    with pytest.raises(LabelError, match=r"episode 1: expected the labels of a success, .* got those of a failure"):
        read_targets(copy, outcomes={**OUTCOMES, 1: S})


def test_a_reward_that_is_not_finite_is_located(tmp_path: Path) -> None:
    rewards = np.float32([0.1] * 12)
    rewards[6] = np.inf
    with pytest.raises(
        LabelError, match=r"'reward_label' of .*000001.parquet, episode 1, frame 2: expected a finite r"
    ):
        read_targets(columns_in(tmp_path / "set", value_label=VALUES, reward_label=rewards))


def test_a_penalty_without_effect_is_refused(labelled: LeRobotDataset) -> None:
    with pytest.raises(ConfigError, match=r"--failure_penalty 2.0: expected --target paper with it, got --target data"):
        read_targets(labelled, failure_penalty=2.0)
    with pytest.raises(ConfigError, match=r"failure_penalty 2.0: expected it with --target paper, got it with episode"):
        read_targets(labelled, "episode_ramp", failure_penalty=2.0)


# --- time-outs -------------------------------------------------------------------------------------------------

WITH_TIMEOUT = {**OUTCOMES, 1: T}


@pytest.mark.parametrize(("rule", "end", "expected"), [
    ("paper", -0.1, [-0.9, -0.7, -0.5, -0.3, -0.1]),
    ("paper", -0.6, [-1, -1, -1, -0.8, -0.6]),
    ("episode_ramp", -0.5, [-0.9, -0.8, -0.7, -0.6, -0.5]),
])  # fmt: skip
def test_a_timeout_is_filled_in_by_its_end(labelled: LeRobotDataset, rule, end: float, expected) -> None:
    targets = read_targets(labelled, rule, outcomes=WITH_TIMEOUT)
    assert np.isnan(targets.labels).tolist() == [False] * 4 + [True] * 5 + [False] * 3
    assert targets.timeouts.last_rows.tolist() == [8]
    targets.timeouts.write(targets.labels, np.float32([end]))
    np.testing.assert_allclose(targets.labels[4:9], expected, atol=1e-6)
    assert not np.isnan(targets.labels).any()


def test_labels_of_a_bootstrapped_copy(unlabelled: LeRobotDataset, tmp_path: Path) -> None:
    """Its convention and unit come from the other episodes."""
    copy = label(unlabelled, tmp_path / "out", outcomes={**WITH_TIMEOUT, 0: F}, timeout_as="bootstrap")
    with pytest.raises(LabelError, match=r"episode 1, frame 0: expected a finite .* timed out, say so"):
        read_targets(copy)
    targets = read_targets(copy, outcomes={**WITH_TIMEOUT, 0: F})
    assert (targets.conventions, targets.normaliser) == (("recap",), Normaliser("episode_ramp"))
    targets.timeouts.write(targets.labels, np.float32([-1]))
    assert targets.labels[4:9].tolist() == [-1] * 5


def test_a_bootstrapped_copy_in_the_papers_units(unlabelled: LeRobotDataset, tmp_path: Path) -> None:
    normaliser = Normaliser("paper", {"push": 10})
    copy = label(unlabelled, tmp_path / "out", outcomes=WITH_TIMEOUT, timeout_as="bootstrap", normaliser=normaliser)
    targets = read_targets(copy, outcomes=WITH_TIMEOUT)
    targets.timeouts.write(targets.labels, np.float32([-0.5]))
    np.testing.assert_allclose(targets.labels[4:9], [-0.9, -0.8, -0.7, -0.6, -0.5], atol=1e-6)


def test_only_the_training_episodes_timeouts_count(labelled: LeRobotDataset) -> None:
    timeouts = read_targets(labelled, "paper", outcomes={0: T, 1: F, 2: T}).timeouts
    assert [e.index for e in timeouts.episodes] == [0, 2]
    kept = timeouts.among(labelled.episodes[1:])
    assert ([e.index for e in kept.episodes], kept.tasks, kept.last_rows.tolist()) == ([2], ("push",), [11])


def test_a_timeout_needs_a_unit(tmp_path: Path) -> None:
    dataset = columns_in(tmp_path / "set", value_label=[-0.5] * 12)
    with pytest.raises(LabelError, match=r"to bootstrap 1 time-outs, got unknown; pass --target .*--label_convention"):
        read_targets(dataset, outcomes=WITH_TIMEOUT)


# --- tasks -----------------------------------------------------------------------------------------------------


def test_the_task_of_an_episode_is_its_one_prompt(tmp_path: Path) -> None:
    first, second = episode(2), episode(3)
    other = EpisodeData(second.columns, second.images, "fold")
    dataset = load_lerobot(write_lerobot_v21(tmp_path / "set", [first, other], fps=10, codec="mpeg4"))
    assert episode_tasks(dataset) == ("push", "fold")
    targets = read_targets(dataset, "paper", outcomes={0: S, 1: S})
    assert targets.normaliser.max_lengths == {"push": 2, "fold": 3}


def test_an_episode_of_several_prompts_has_no_maximum_length(tmp_path: Path) -> None:
    one = episode(3)
    changing = EpisodeData(one.columns, one.images, ["push", "push", "fold"])
    dataset = load_lerobot(write_lerobot_v21(tmp_path / "set", [one, changing], fps=10, codec="mpeg4"))
    message = r"episode 1, frame 2: expected one prompt per episode .*, got 'push', then 'fold'; pass --target episode"
    with pytest.raises(LabelError, match=message):
        read_targets(dataset, "paper", outcomes={0: S, 1: S})
    assert read_targets(dataset, "episode_ramp", outcomes={0: S, 1: S}).labels[0] == np.float32(-2 / 3)
