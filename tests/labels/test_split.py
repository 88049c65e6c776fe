"""Which episodes are held out."""

import collections
from pathlib import Path

import numpy as np
import pytest

from pistar_vf.errors import ConfigError
from pistar_vf.labels import split
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.split import SplitRatios
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import Episode, load_lerobot


def episodes(count: int) -> tuple[Episode, ...]:
    return tuple(Episode(index, 10, 10 * index, (), Path(), {}) for index in range(count))


def indices(chosen) -> list[int]:
    return [episode.index for episode in chosen]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", (3,)), ("0-3", (0, 1, 2, 3)), ("0-2, 5", (0, 1, 2, 5)), ("2,0-2", (2, 0, 1))],
)
def test_ranges_are_inclusive_and_repeats_count_once(text, expected):
    assert split.parse_episodes(text, "--x") == expected


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1--2", "1,,2", "4-3", "0,3-1"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ConfigError, match=r"--val_episodes: expected indices and ranges such as '0-25,30', got"):
        split.parse_episodes(text, "--val_episodes")


def test_selected_episodes_keep_the_datasets_order():
    assert indices(split.select_episodes(episodes(6), (4, 1), "--x")) == [1, 4]


def test_an_unknown_episode_is_refused():
    with pytest.raises(ConfigError, match=r"--x: the dataset has no episodes \[6, 9\]; it has 6, from 0 to 5"):
        split.select_episodes(episodes(6), (9, 2, 6), "--x")


@pytest.mark.parametrize(("count", "fraction", "held_out"), [(10, 0.1, 1), (10, 0.25, 2), (32, 0.1, 3), (5, 0.01, 1)])
def test_the_share_held_out(count, fraction, held_out):
    train, val = split.split_episodes(episodes(count), fraction, seed=42)
    assert len(val) == held_out
    assert sorted(indices(train) + indices(val)) == list(range(count))
    assert indices(train) == sorted(indices(train))


def outcomes_and_tasks(num_failures: int, num_successes: int, num_tasks: int = 1, seed: int = 0):
    """Strata in a random order."""
    rng = np.random.default_rng(seed)
    outcome = rng.permutation(["failure"] * num_failures + ["success"] * num_successes)
    return [(str(one), f"task {rng.integers(num_tasks)}") for one in outcome]


@pytest.mark.parametrize("count", [20, 32, 50])
def test_the_held_out_part_has_both_outcomes(count):
    """Drawn from all alike, 50, 20 and 18 % of the default parts had one outcome only."""
    for seed in range(50):
        strata = outcomes_and_tasks(count // 4, count - count // 4, seed=seed)
        _, val = split.split_episodes(episodes(count), 0.1, seed, strata)
        assert len(val) == round(0.1 * count)
        assert {strata[index][0] for index in indices(val)} == {"failure", "success"}


def test_outcomes_and_tasks_keep_their_shares():
    strata = outcomes_and_tasks(40, 60, num_tasks=4)
    train, val = split.split_episodes(episodes(100), 0.2, 3, strata)
    assert sorted(indices(train) + indices(val)) == list(range(100))
    held = collections.Counter(strata[index][0] for index in indices(val))
    assert held == {"failure": 8, "success": 12}
    every, own = collections.Counter(strata), collections.Counter(strata[index] for index in indices(val))
    assert all(abs(own[stratum] - 0.2 * size) <= 1 for stratum, size in every.items())
    assert len({tuple(indices(split.split_episodes(episodes(100), 0.2, seed, strata)[1])) for seed in range(5)}) == 5


def test_the_only_episode_of_an_outcome_stays_in_training():
    strata = [("failure", "a")] + [("success", "a")] * 19
    for seed in range(20):
        assert 0 in indices(split.split_episodes(episodes(20), 0.1, seed, strata)[0])


@pytest.mark.parametrize("num_folds", [2, 3, 5])
def test_folds_share_every_stratum(num_folds):
    strata = outcomes_and_tasks(11, 26, num_tasks=2)
    folds = split.draw_folds(episodes(37), num_folds, 7, strata)
    assert sorted(index for fold in folds for index in indices(fold)) == list(range(37))
    assert all(indices(fold) == sorted(indices(fold)) for fold in folds)
    for stratum in set(strata):
        sizes = [sum(strata[index] == stratum for index in indices(fold)) for fold in folds]
        assert max(sizes) - min(sizes) <= 1
    assert split.draw_folds(episodes(37), num_folds, 7, strata) == folds
    assert split.draw_folds(episodes(37), num_folds, 8, strata) != folds


@pytest.mark.parametrize("num_folds", [1, 7])
def test_folds_must_leave_something_to_train_on(num_folds):
    with pytest.raises(ConfigError, match=rf"--folds {num_folds}: expected 2 to 6 folds for 6 episodes"):
        split.draw_folds(episodes(6), num_folds, 0, outcomes_and_tasks(3, 3))


def test_the_seed_alone_decides():
    draws = {tuple(indices(split.split_episodes(episodes(40), 0.2, seed)[1])) for seed in (0, 0, 1, 2)}
    assert len(draws) == 3


def test_nothing_is_held_out_at_zero():
    train, val = split.split_episodes(episodes(3), 0.0, seed=0)
    assert (indices(train), val) == ([0, 1, 2], ())


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ConfigError, match=r"--val_fraction: expected a number in \[0, 1\), got"):
        split.split_episodes(episodes(4), fraction, seed=0)


@pytest.mark.parametrize(("count", "fraction"), [(1, 0.1), (2, 0.9)])
def test_something_must_remain_to_train_on(count, fraction):
    with pytest.raises(ConfigError, match=r"leaves none to train on; pass --val_fraction 0 or --val_data_dir"):
        split.split_episodes(episodes(count), fraction, seed=0)


# --- by ratio --------------------------------------------------------------------------------------------------

EIGHT_ONE_ONE = SplitRatios(0.8, 0.1, 0.1)
ONE_KIND = ("success", "push")


def parts_of(strata, ratios=EIGHT_ONE_ONE, seed=42):
    return [indices(part) for part in split.split_by_ratio(episodes(len(strata)), ratios, seed, strata)]


def test_every_stratum_is_split_in_the_same_shares():
    """Strata of 40, 20 and 10 episodes, mixed up: 8 : 1 : 1 of each is a whole number."""
    strata = [("success", "push")] * 40 + [("failure", "push")] * 20 + [("success", "lift")] * 10
    strata = [strata[i] for i in np.random.default_rng(0).permutation(70)]
    parts = parts_of(strata)
    counted = [collections.Counter(strata[i] for i in part) for part in parts]
    assert counted[0] == {("success", "push"): 32, ("failure", "push"): 16, ("success", "lift"): 8}
    assert counted[1] == counted[2] == {("success", "push"): 4, ("failure", "push"): 2, ("success", "lift"): 1}
    assert sorted(i for part in parts for i in part) == list(range(70))
    assert all(part == sorted(part) for part in parts)


@pytest.mark.parametrize("seed", range(5))
def test_outcomes_keep_their_shares_even_where_every_task_is_new(seed):
    strata = [("success" if i % 3 else "failure", f"task {i}") for i in range(90)]
    parts = parts_of(strata, seed=seed)
    assert [len(part) for part in parts] == [72, 9, 9]
    for part in parts:
        failures = sum(strata[i][0] == "failure" for i in part)
        assert abs(failures - len(part) / 3) < 2


@pytest.mark.parametrize("ratios", [(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.34, 0.33, 0.33), (0.7, 0.0, 0.3)])
def test_strata_of_any_size_are_at_most_two_episodes_off(ratios):
    rng = np.random.default_rng(1)
    for _ in range(20):
        sizes = rng.integers(1, 30, 6)
        strata = [("success", f"task {i}") for i, size in enumerate(sizes) for _ in range(size)]
        parts = parts_of(strata, SplitRatios(*ratios))
        real = np.array([len(part) for part in parts]) / len(strata)
        for stratum, size in zip(dict.fromkeys(strata), sizes):
            counted = np.array([sum(strata[i] == stratum for i in part) for part in parts])
            assert np.abs(counted - real * size).max() < 2


@pytest.mark.parametrize(
    ("count", "ratios", "expected"),
    [
        (10, (0.8, 0.1, 0.1), [8, 1, 1]),
        (32, (0.8, 0.1, 0.1), [26, 3, 3]),  # 25.6, 3.2, 3.2: the largest remainder is rounded up
        (5, (0.8, 0.1, 0.1), [3, 1, 1]),  # 4, 0.5, 0.5
        (3, (0.98, 0.01, 0.01), [1, 1, 1]),
        (7, (0.9, 0.1, 0.0), [6, 1, 0]),
        (4, (1.0, 0.0, 0.0), [4, 0, 0]),
    ],
)
def test_sizes_by_hand(count, ratios, expected):
    parts = parts_of([ONE_KIND] * count, SplitRatios(*ratios))
    assert [len(part) for part in parts] == expected
    assert sorted(i for part in parts for i in part) == list(range(count))


def test_the_split_seed_decides():
    many = [[ONE_KIND] * 30, [("success", f"task {i}") for i in range(30)]]
    for strata in many:
        draws = {tuple(parts_of(strata, seed=seed)[2]) for seed in (0, 0, 1, 2, 3)}
        assert len(draws) == 4


@pytest.mark.parametrize(
    "shares", [(0.8, 0.1, 0.2), (0.8, 0.1, 0.0), (0.0, 0.5, 0.5), (1.1, -0.1, 0.0), (float("nan"), 0.1, 0.1)]
)
def test_shares_that_are_none(shares):
    with pytest.raises(ConfigError, match=r"--test_ratio: expected shares that sum to 1, with .* train on, got "):
        SplitRatios(*shares)


def test_too_few_episodes_for_the_parts():
    with pytest.raises(ConfigError, match="expected at least 3 episodes to split, got 2; set the ratio of a part to 0"):
        parts_of([ONE_KIND] * 2)


def test_flags_that_are_not_given_count_as_nothing():
    assert SplitRatios.of_flags(None, None, None) is None
    assert SplitRatios.of_flags(0.9, None, 0.1) == SplitRatios(0.9, 0.0, 0.1)


def test_strata_are_the_outcome_and_the_prompt(tiny_dataset):
    """From the outcomes, and from the labels: both are what the metadata of the synthetic robot says."""
    dataset = load_lerobot(tiny_dataset)
    labels, outcomes = read_value_labels(dataset), read_outcomes(dataset, outcome_column="outcome")
    said = [(e.metadata["outcome"], e.tasks[0]) for e in dataset.episodes]
    assert len(set(said)) > 2
    assert split.episode_strata(dataset, labels, outcomes) == said
    # The labels were made with --timeout_as failure.
    as_labelled = [("failure" if outcome == "timeout" else outcome, task) for outcome, task in said]
    assert split.episode_strata(dataset, labels, None) == as_labelled
