"""The five RECAP columns of an episode against numbers worked out by hand."""

import numpy as np
import pytest

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.returns import RECAP_COLUMNS, Normaliser, Outcome, recap_columns


def labels(columns: dict) -> tuple[list[float], list[float]]:
    assert columns["value_label"].dtype == columns["reward_label"].dtype == np.float32
    return columns["value_label"].tolist(), columns["reward_label"].tolist()


def test_columns_of_a_corrected_success_by_hand() -> None:
    columns = recap_columns(5, Outcome.SUCCESS, np.array([0, 1, 1, 0, 0]))
    expected = {
        "intervention": np.array([0, 1, 1, 0, 0], np.int64),
        "reward": np.array([0, 0, 0, 0, 1], np.float32),
        "reward_label": np.array([-0.2, -0.2, -0.2, -0.2, 0], np.float32),
        "value_label": np.array([-0.8, -0.6, -0.4, -0.2, 0], np.float32),
        "adv_ind": np.array(["none", "positive", "positive", "none", "none"]),
    }
    assert tuple(columns) == tuple(expected) == RECAP_COLUMNS
    for name, values in expected.items():
        np.testing.assert_array_equal(columns[name], values)
        assert columns[name].dtype.kind == values.dtype.kind
        assert name == "adv_ind" or columns[name].dtype == values.dtype


def test_columns_of_a_failure_by_hand() -> None:
    columns = recap_columns(2, Outcome.FAILURE)
    np.testing.assert_array_equal(columns["reward"], [0, 0])
    assert labels(columns) == ([-1, -1], [-0.5, 0])
    np.testing.assert_array_equal(columns["intervention"], [0, 0])
    assert columns["adv_ind"].tolist() == ["none", "none"]


# Four frames: (convention, outcome, value_label, reward_label), worked out from the table in docs/data.md.
WRITTEN = [
    ("recap", "success", [-0.75, -0.5, -0.25, 0], [-0.25, -0.25, -0.25, 0]),
    ("recap", "failure", [-1, -1, -1, -1], [-0.25, -0.25, -0.25, 0]),
    ("libero_rollout", "success", [-0.75, -0.5, -0.25, 0], [-0.25, -0.25, -0.25, 0]),
    ("libero_rollout", "failure", [-1, -1, -1, -1], [-0.25, -0.25, -0.25, -1]),
    ("robot_collector", "success", [-1, -0.75, -0.5, 0], [-0.25, -0.25, -0.25, 0]),
    ("robot_collector", "failure", [-1, -1, -1, -1], [-0.25, -0.25, -0.25, -1]),
]


@pytest.mark.parametrize(("name", "outcome", "value", "reward"), WRITTEN)
def test_every_writable_convention_by_hand(name, outcome, value, reward) -> None:
    assert labels(recap_columns(4, Outcome(outcome), convention=name)) == (value, reward)


@pytest.mark.parametrize("name", ["recap", "libero_rollout", "robot_collector"])
def test_one_frame_success_is_worth_zero(name) -> None:
    assert labels(recap_columns(1, Outcome.SUCCESS, convention=name)) == ([0], [0])


def test_columns_of_the_papers_target_by_hand() -> None:
    """Task "a" has at most 8 frames; a failure costs 4 steps, half of that."""
    paper = Normaliser("paper", {"a": 8}, failure_penalty=4.0)
    columns = {outcome: recap_columns(4, outcome, normaliser=paper, task="a") for outcome in list(Outcome)[:2]}
    assert labels(columns[Outcome.SUCCESS]) == ([-0.375, -0.25, -0.125, 0], [-0.125, -0.125, -0.125, 0])
    assert labels(columns[Outcome.FAILURE]) == ([-0.875, -0.75, -0.625, -0.5], [-0.125, -0.125, -0.125, -0.5])


@pytest.mark.parametrize(("timeout_as", "first"), [("failure", -1.0), ("success", -0.5)])
def test_timeout_counts_as_the_caller_says(timeout_as, first: float) -> None:
    assert recap_columns(2, Outcome.TIMEOUT, timeout_as=timeout_as)["value_label"][0] == first


@pytest.mark.parametrize("normaliser", [None, Normaliser("paper", {"a": 8})])
def test_the_value_of_a_bootstrapped_timeout_is_left_open(normaliser) -> None:
    """It has no reward, and no penalty at its end either."""
    columns = recap_columns(2, Outcome.TIMEOUT, timeout_as="bootstrap", normaliser=normaliser, task="a")
    assert np.isnan(columns["value_label"]).all()
    assert columns["reward_label"].tolist() == [-0.5 if normaliser is None else -0.125, 0]
    assert columns["reward"].tolist() == [0, 0]


def test_timeout_without_a_mapping_is_refused() -> None:
    with pytest.raises(LabelError, match=r"told what a timeout counts as.*'bootstrap' .*'failure' \(-1\) or 'success'"):
        recap_columns(2, Outcome.TIMEOUT)


@pytest.mark.parametrize("name", ["add_value_labels", "srpo_progress", "paper"])
def test_what_an_outcome_does_not_decide_is_not_written(name) -> None:
    message = rf"\(recap, libero_rollout, robot_collector\), got '{name}', whose values are .*; it can be read, not"
    with pytest.raises(LabelError, match=message):
        recap_columns(2, Outcome.FAILURE, convention=name)
    with pytest.raises(ConfigError, match=r"label convention: expected one of recap, .*, nttg, got 'mine'"):
        recap_columns(2, Outcome.SUCCESS, convention="mine")


def test_intervention_may_be_bool_and_of_shape_t_1() -> None:
    np.testing.assert_array_equal(
        recap_columns(2, Outcome.SUCCESS, np.array([[True], [False]]))["intervention"], [1, 0]
    )


def test_malformed_episodes_are_refused() -> None:
    with pytest.raises(LabelError, match="at least 1 frame, got 0"):
        recap_columns(0, Outcome.SUCCESS)
    with pytest.raises(LabelError, match=r"each of 3 frames, got \(2,\)"):
        recap_columns(3, Outcome.SUCCESS, np.array([0, 1]))
    with pytest.raises(LabelError, match=r"0 or 1 in every frame, got \[0, 2\]"):
        recap_columns(2, Outcome.SUCCESS, np.array([0, 2]))


@pytest.mark.parametrize("normaliser", [None, Normaliser("paper", {"": 8})])
@pytest.mark.parametrize("outcome", ["success", "failure", "timeout"])
def test_a_word_means_its_outcome(outcome: str, normaliser) -> None:
    """`"failure"` once wrote the labels of a success."""
    options = {"timeout_as": "bootstrap", "normaliser": normaliser}
    by_word, by_member = recap_columns(3, outcome, **options), recap_columns(3, Outcome(outcome), **options)
    for name in RECAP_COLUMNS:
        np.testing.assert_array_equal(by_word[name], by_member[name])


def test_unknown_words_are_refused() -> None:
    with pytest.raises(
        LabelError, match="outcome: expected one of success, failure, timeout, fragment, got 'banana'; say how"
    ):
        recap_columns(3, "banana")
