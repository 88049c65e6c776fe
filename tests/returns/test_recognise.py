"""Conventions told apart by their numbers, worked out by hand; what they do to an n-step advantage."""

import dataclasses

import numpy as np
import pytest

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.returns import CONVENTIONS, Normaliser, Outcome, find_convention, terminal_bootstrap
from pistar_vf.returns.recognise import LabelColumns, check_convention, fitting_conventions, paper_scale, shown_failures

# Episodes of 4 and 2 frames, a success and a failure: (value_label, reward_label), from the table in docs/data.md.
STEP = ([-1 / 4] * 3, [-1 / 2])
SUCCESS_FIRST = {
    "recap": ([-3 / 4, -2 / 4, -1 / 4, 0, -1, -1], [*STEP[0], 0, *STEP[1], 0]),
    "libero_rollout": ([-3 / 4, -2 / 4, -1 / 4, 0, -1, -1], [*STEP[0], 0, *STEP[1], -1]),
    "robot_collector": ([-1, -3 / 4, -2 / 4, 0, -1, -1], [*STEP[0], 0, *STEP[1], -1]),
    "add_value_labels": ([-1, -3 / 4, -2 / 4, -1 / 4, -1, -1 / 2], [7.0] * 6),
    # Progress 0.1, 0.4, 0.3, 1 and 0.2, 0.6.
    "srpo_progress": ([-0.9, -0.6, -0.7, 0, -0.8, -0.4], [-0.3, 0.1, -0.7, 0, -0.4, -0.4]),
    # The longest episode of the task has 8 frames; the penalty is 8 steps.
    "paper": ([-3 / 8, -2 / 8, -1 / 8, 0, -1, -1], [-1 / 8, -1 / 8, -1 / 8, 0, -1 / 8, -1]),
    "nttg": ([-3, -2, -1, 0, -7, -7], [0.0, 0, 0, 1, 0, 0]),
}


def columns(value, reward, lengths=(4, 2), tasks=None) -> LabelColumns:
    reward = None if reward is None else np.array(reward, np.float32)
    tasks = np.zeros(len(lengths), np.int64) if tasks is None else np.array(tasks)
    return LabelColumns(np.array(value, np.float32), reward, np.array(lengths), tasks)


@pytest.mark.parametrize("name", SUCCESS_FIRST)
def test_each_convention_is_recognised_and_confirmed(name) -> None:
    found = columns(*SUCCESS_FIRST[name])
    assert fitting_conventions(found) == (name,)
    for declared in CONVENTIONS:
        if declared == name:
            check_convention(declared, found, np.arange(2))
        else:
            with pytest.raises(LabelError, match=f"'{declared}'"):
                check_convention(declared, found, np.arange(2))


VALUES_ONLY = [
    ("recap", ("recap", "libero_rollout")),
    ("robot_collector", ("robot_collector",)),
    ("add_value_labels", ("add_value_labels",)),
    ("srpo_progress", ()),
    ("paper", ()),
    ("nttg", ("nttg",)),
]


@pytest.mark.parametrize(("name", "expected"), VALUES_ONLY)
def test_values_alone_may_not_suffice(name, expected) -> None:
    found = columns(SUCCESS_FIRST[name][0], None)
    assert fitting_conventions(found) == expected
    check_convention(name, found, np.arange(2))


def test_successes_alone_do_not_show_the_penalty() -> None:
    value, reward = SUCCESS_FIRST["recap"]
    assert fitting_conventions(columns(value[:4], reward[:4], (4,))) == ("recap", "libero_rollout")


def test_failures_alone_do_not_show_the_ramp() -> None:
    assert fitting_conventions(columns([-1, -1], [-0.5, -1], (2,))) == ("libero_rollout", "robot_collector")
    assert fitting_conventions(columns([-1, -1], [-0.5, 0], (2,))) == ("recap",)
    everything = ("recap", "libero_rollout", "robot_collector")
    assert fitting_conventions(columns([-1, -1], None, (2,))) == everything


@pytest.mark.parametrize("name", SUCCESS_FIRST)
def test_float32_rounding_is_tolerated_and_more_is_not(name) -> None:
    value, reward = (np.array(numbers, np.float64) for numbers in SUCCESS_FIRST[name])
    assert fitting_conventions(columns(value + 2e-6, reward)) == (name,)
    value[1] += 1e-3
    assert fitting_conventions(columns(value, reward)) == ()


def test_counted_steps_are_no_progress() -> None:
    """A ramp that stops at -0.2 is the paper's failure if its last reward says so, and else nothing known."""
    assert fitting_conventions(columns([-0.5, -0.4, -0.3, -0.2], [-0.1, -0.1, -0.1, -0.2], (4,))) == ("paper",)
    assert fitting_conventions(columns([-0.5, -0.4, -0.3, -0.2], [-0.1, -0.1, -0.1, 0], (4,))) == ()


def test_nan_fits_nothing() -> None:
    value, reward = SUCCESS_FIRST["recap"]
    assert fitting_conventions(columns([*value[:5], np.nan], reward)) == ()
    assert fitting_conventions(columns(value, [*reward[:5], np.nan])) == ()


def test_a_contradiction_is_located() -> None:
    """Frame 3 of the collector's success is right under both readings but for its value."""
    value, reward = SUCCESS_FIRST["libero_rollout"]
    message = (
        r"episode 9, frame 1: expected value_label -1 and reward_label 0 by the declared convention 'recap' "
        r"\(as a failure\), got -1 and -1; declare another or none"
    )
    with pytest.raises(LabelError, match=message):
        check_convention("recap", columns(value, reward), np.array([5, 9]))
    value = [-3 / 4, -2 / 4, 0, 0, -1, -1]
    with pytest.raises(LabelError, match=r"episode 0, frame 2: expected value_label -0.25 and .* \(as a success\)"):
        check_convention("recap", columns(value, SUCCESS_FIRST["recap"][1]), np.arange(2))


def test_an_unknown_declaration_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"label convention: expected one of recap, .* got 'mine'"):
        check_convention("mine", columns(*SUCCESS_FIRST["recap"]), np.arange(2))


def test_the_papers_columns_must_divide_a_task_by_one_length() -> None:
    """Episodes of 3, divided by 8 and by 5: two tasks, or nonsense."""
    value = [-2 / 8, -1 / 8, 0, -2 / 5, -1 / 5, 0]
    reward = [-1 / 8, -1 / 8, 0, -1 / 5, -1 / 5, 0]
    two_tasks, one_task = columns(value, reward, (3, 3), (4, 7)), columns(value, reward, (3, 3))
    assert fitting_conventions(two_tasks) == ("paper",)
    assert paper_scale(two_tasks) == ({4: 8, 7: 5}, None)
    assert fitting_conventions(one_task) != ("paper",)
    with pytest.raises(LabelError, match="expected reward labels that divide every task by one length"):
        check_convention("paper", one_task, np.arange(2))


def test_the_papers_penalty_is_read_back() -> None:
    """Two failures that cost 3 steps, of tasks of 6 and 12 frames."""
    value = [-4 / 6, -3 / 6, -4 / 12, -3 / 12]
    reward = [-1 / 6, -3 / 6, -1 / 12, -3 / 12]
    found = columns(value, reward, (2, 2), (0, 1))
    assert fitting_conventions(found) == ("paper",)
    assert paper_scale(found) == ({0: 6, 1: 12}, 3.0)


def test_one_frame_episodes_fit_where_they_can() -> None:
    """A success of one frame is worth 0; only add_value_labels says -1, as does any failure."""
    assert fitting_conventions(columns([0], [0], (1,))) == ("recap", "libero_rollout", "robot_collector")
    assert fitting_conventions(columns([-1], [0], (1,))) == ("recap", "add_value_labels")


@pytest.mark.parametrize(
    ("failures", "got"),
    [((-7, -8), r"episode 2: .*got -8"), ((-2.5, -2.5), r"episode 1: .*got -2.5"), ((-7, 2), r"episode 2: .*got 2")],
)
def test_failures_in_frames_are_one_low_number(failures, got) -> None:
    found = columns([-3, -2, -1, 0, failures[0], failures[0], failures[1]], None, (4, 2, 1))
    assert fitting_conventions(found) == ()
    with pytest.raises(LabelError, match=f"{got}; declare another convention or none"):
        check_convention("nttg", found, np.arange(3))


def test_each_task_has_its_own_low_number() -> None:
    two_tasks = columns([-1, 0, -2, -3, -2, -1, 0, -9], None, (2, 1, 4, 1), (0, 0, 3, 3))
    assert fitting_conventions(two_tasks) == ("nttg",)
    assert shown_failures(two_tasks, ["nttg"]).tolist() == [False, True, False, True]
    assert fitting_conventions(columns([-9, -9, -9], None, (2, 1))) == ("nttg",)
    assert fitting_conventions(columns([-9, -8, -9], None, (2, 1))) == ()


BOOTSTRAPS = [("recap", "last_value"), ("libero_rollout", "zero"), ("robot_collector", "zero"), ("paper", "zero")]


@pytest.mark.parametrize(("name", "past_failure"), BOOTSTRAPS)
def test_the_tail_of_a_failure_is_neither_good_nor_punished_twice(name, past_failure) -> None:
    """V = -1 at every frame of a failure, as labelled: A = sum of the rewards to the end + bootstrap - V is near 0."""
    convention = find_convention(name)
    assert terminal_bootstrap(convention, Outcome.FAILURE) == past_failure
    value, reward = (np.array(numbers[4:]) for numbers in SUCCESS_FIRST[name])
    bootstrap = 0.0 if past_failure == "zero" else value[-1]
    advantage = np.cumsum(reward[::-1])[::-1] + bootstrap - value
    assert (advantage <= 0).all()
    assert (advantage >= -0.5).all()
    assert terminal_bootstrap(convention, Outcome.SUCCESS) == "zero"
    assert terminal_bootstrap(convention, Outcome.TIMEOUT) == "last_value"


def test_a_convention_without_failures_says_nothing_past_one() -> None:
    with pytest.raises(LabelError, match=r"got 'add_value_labels' .*labels every episode as a success; label"):
        terminal_bootstrap(find_convention("add_value_labels"), Outcome.FAILURE)


def test_words_are_outcomes_here_too() -> None:
    recap = CONVENTIONS["recap"]
    by_word = [terminal_bootstrap(recap, word) for word in ("success", "failure", "timeout", "fragment")]
    assert by_word == [terminal_bootstrap(recap, outcome) for outcome in Outcome]


# --- what labels say about the outcome --------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [None, 10.0, 0.5])
def test_the_last_reward_of_the_papers_labels_shows_the_outcome(penalty) -> None:
    """A failure with a small penalty is nowhere at -1."""
    rule = Normaliser("paper", {"a": 20}, penalty)
    lengths, outcomes = np.array([6, 6, 1, 20]), [Outcome.FAILURE, Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS]
    args = (lengths, ["a"] * 4, outcomes)
    own = LabelColumns(rule.targets(*args), rule.rewards(*args), lengths, np.zeros(4, np.int64))
    assert fitting_conventions(own) == ("paper",)
    assert shown_failures(own, ("paper",)).tolist() == [True, False, True, False]
    assert shown_failures(dataclasses.replace(own, reward=None), ("paper",)) is None


@pytest.mark.parametrize("names", [(), ("add_value_labels",), ("recap", "add_value_labels")])
def test_labels_that_do_not_say_the_outcome(names) -> None:
    assert shown_failures(columns([-1, -1, -1, -1, -0.5, 0], None), names) is None


def test_steps_of_the_episode_show_it_in_every_frame() -> None:
    own = columns([-1, -1, -1, -1, -0.5, 0], None)
    assert shown_failures(own, ("recap", "libero_rollout")).tolist() == [True, False]
