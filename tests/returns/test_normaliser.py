"""Targets by hand, and against a simulation of the paper's rewards step by step."""

import numpy as np
import pytest

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.returns import Normaliser, Outcome

S, F, T = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT
PAPER = Normaliser("paper", {"a": 4, "b": 10})
RAMP = Normaliser("episode_ramp")


def test_it_measures_the_longest_episode_of_each_task() -> None:
    tasks = ["push", "fold", "push", "push"]
    lengths = np.array([3, 7, 9, 5])
    assert Normaliser.measure("paper", lengths, tasks, 2.0) == Normaliser("paper", {"push": 9, "fold": 7}, 2.0)
    assert Normaliser.measure("episode_ramp", lengths, tasks) == RAMP


def test_the_papers_targets_by_hand() -> None:
    targets = PAPER.targets(np.array([3, 2, 2]), ["a", "a", "b"], [S, F, S])
    np.testing.assert_array_equal(targets, np.array([-2 / 4, -1 / 4, 0, -1, -1, -1 / 10, 0], np.float32))
    assert targets.dtype == np.float32


def test_the_per_episode_ramp_by_hand() -> None:
    targets = RAMP.targets(np.array([4, 2]), ["", ""], [S, F])
    np.testing.assert_array_equal(targets, np.array([-3 / 4, -2 / 4, -1 / 4, 0, -1, -1], np.float32))


@pytest.mark.parametrize("penalty", [None, 1.0, 2.5, 100.0])
@pytest.mark.parametrize("outcome", [S, F])
def test_targets_are_the_papers_returns(penalty, outcome) -> None:
    """Equation 5: 0 at the end of a success, minus C_fail at the end of a failure, -1 elsewhere; undiscounted."""
    longest, length = 10, 7
    rewards = [-1.0] * (length - 1) + [0.0 if outcome is S else -(longest if penalty is None else penalty)]
    returns = [sum(rewards[t:]) / longest for t in range(length)]
    normaliser = Normaliser("paper", {"b": longest}, penalty)
    targets = normaliser.targets(np.array([length]), ["b"], [outcome])
    np.testing.assert_allclose(targets, np.maximum(returns, -1), atol=1e-7)
    own = normaliser.rewards(np.array([length]), ["b"], [outcome])
    np.testing.assert_allclose(own, np.array(rewards) / longest, atol=1e-7)


def test_an_episode_longer_than_any_in_training_is_clipped() -> None:
    targets = PAPER.targets(np.array([6]), ["a"], [S])
    np.testing.assert_array_equal(targets, np.array([-1, -1, -0.75, -0.5, -0.25, 0], np.float32))


def test_a_timeout_is_worth_its_end_and_the_steps_until_then() -> None:
    """V(end) = -0.3 of the paper's: one step is 1/10."""
    targets = PAPER.targets(np.array([4, 2]), ["b", "b"], [T, S], np.array([-0.3, 9.0]))
    np.testing.assert_allclose(targets, [-0.6, -0.5, -0.4, -0.3, -0.1, 0], atol=1e-7)
    rewards = PAPER.rewards(np.array([4]), ["b"], [T], np.array([-0.3]))
    np.testing.assert_allclose(rewards, [-0.1, -0.1, -0.1, 0], atol=1e-7)


@pytest.mark.parametrize("end", [-1.0, -0.75, -0.25, 0.0])
def test_the_ramp_of_a_timeout_is_the_beginning_of_the_whole_episodes(end) -> None:
    """Had it gone on to a success, V(end) would be the share still to come: the first frames of that episode's ramp."""
    length = 12
    targets = RAMP.targets(np.array([length]), [""], [T], np.array([end]))
    whole = length / (1 + end) if end > -1 else np.inf
    np.testing.assert_allclose(targets, end - np.arange(length)[::-1] / whole, atol=1e-6)
    rewards = RAMP.rewards(np.array([length]), [""], [T], np.array([end]))
    np.testing.assert_allclose(rewards, [*[-1 / whole] * 11, 0], atol=1e-7)


@pytest.mark.parametrize(("counted_as", "end"), [(T, -0.4), (F, -0.7)])
def test_a_timeout_on_a_successful_way_costs_nothing(counted_as, end) -> None:
    """A success of 10 states; a time-out that was cut off at its sixth. V is the mean of each state's targets.

    Bootstrapped, the time-out agrees with the success in every state; as a failure it drags the end half way to -1.
    """
    normaliser, value = Normaliser("paper", {"a": 10}), np.full(10, -0.5)
    for _ in range(60):
        targets = normaliser.targets(np.array([10, 6]), ["a", "a"], [S, counted_as], np.array([np.nan, value[5]]))
        value = np.array([targets[:10][s] if s > 5 else (targets[s] + targets[10 + s]) / 2 for s in range(10)])
    assert value[5] == pytest.approx(end, abs=1e-6)
    if counted_as is T:
        np.testing.assert_allclose(value, -np.arange(10)[::-1] / 10, atol=1e-6)


def test_a_timeout_is_open_until_its_end_is_known() -> None:
    for normaliser in (PAPER, RAMP):
        targets = normaliser.targets(np.array([2, 2]), ["a", "a"], [T, S])
        assert np.isnan(targets).tolist() == [True, True, False, False]


def test_an_unknown_task_has_no_unit() -> None:
    """The advice is something that can be typed."""
    lengths, tasks = np.array([3, 2]), ["a", "c"]
    message = r"maximum length is known \('a', 'b'\), got 'c'; .* Train on these tasks too, .*--target episode_ramp"
    with pytest.raises(LabelError, match=message):
        PAPER.targets(lengths, tasks, [S, S])


@pytest.mark.parametrize("rule", [PAPER, RAMP])
def test_a_word_means_its_outcome(rule) -> None:
    """A failure that is given as a word was once labelled as a success."""
    lengths, tasks, ends = np.array([4, 2, 3]), ["a", "b", "a"], np.array([0.0, 0.0, -0.5])
    for make in (rule.targets, rule.rewards):
        by_word = make(lengths, tasks, ["failure", "success", "timeout"], ends)
        np.testing.assert_array_equal(by_word, make(lengths, tasks, [F, S, T], ends))
        with pytest.raises(
            LabelError, match="outcome: expected one of success, failure, timeout, fragment, got 'banana'"
        ):
            make(lengths, tasks, [F, S, "banana"], ends)


def test_long_lists_of_tasks_are_cut() -> None:
    many = Normaliser("paper", {f"t{i}": 3 for i in range(9)})
    with pytest.raises(LabelError, match=r"'t4' and 4 more\), got 'x'"):
        many.targets(np.array([3]), ["x"], [S])


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("inf"), float("nan")])
def test_a_penalty_must_be_one(penalty) -> None:
    with pytest.raises(ConfigError, match=r"failure_penalty: expected a number of steps above 0, got"):
        Normaliser("paper", {"a": 1}, penalty)


def test_a_penalty_is_the_papers() -> None:
    with pytest.raises(ConfigError, match=r"failure_penalty 3.0: expected it with --target paper, got it with episode"):
        Normaliser("episode_ramp", failure_penalty=3.0)
