"""Which episodes are held out."""

from pathlib import Path

import pytest

from pistar_vf.data.lerobot import Episode
from pistar_vf.data.split import parse_episodes, select_episodes, split_episodes
from pistar_vf.errors import ConfigError


def episodes(count: int) -> tuple[Episode, ...]:
    return tuple(Episode(index, 10, 10 * index, (), Path(), {}) for index in range(count))


def indices(chosen) -> list[int]:
    return [episode.index for episode in chosen]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", (3,)), ("0-3", (0, 1, 2, 3)), ("0-2, 5", (0, 1, 2, 5)), ("2,0-2", (2, 0, 1)), ("4-3", ())],
)
def test_ranges_are_inclusive_and_repeats_count_once(text, expected):
    assert parse_episodes(text, "--x") == expected


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1--2", "1,,2"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ConfigError, match=r"--val_episodes: expected indices and ranges such as '0-25,30', got"):
        parse_episodes(text, "--val_episodes")


def test_selected_episodes_keep_the_datasets_order():
    assert indices(select_episodes(episodes(6), (4, 1), "--x")) == [1, 4]


def test_an_unknown_episode_is_refused():
    with pytest.raises(ConfigError, match=r"--x: the dataset has no episodes \[6, 9\]; it has 6, from 0 to 5"):
        select_episodes(episodes(6), (9, 2, 6), "--x")


@pytest.mark.parametrize(("count", "fraction", "held_out"), [(10, 0.1, 1), (10, 0.25, 2), (32, 0.1, 3), (5, 0.01, 1)])
def test_the_share_held_out(count, fraction, held_out):
    train, val = split_episodes(episodes(count), fraction, seed=42)
    assert len(val) == held_out
    assert sorted(indices(train) + indices(val)) == list(range(count))
    assert indices(train) == sorted(indices(train))


def test_the_seed_alone_decides():
    draws = {tuple(indices(split_episodes(episodes(40), 0.2, seed)[1])) for seed in (0, 0, 1, 2)}
    assert len(draws) == 3


def test_nothing_is_held_out_at_zero():
    train, val = split_episodes(episodes(3), 0.0, seed=0)
    assert (indices(train), val) == ([0, 1, 2], ())


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ConfigError, match=r"--val_fraction: expected a number in \[0, 1\), got"):
        split_episodes(episodes(4), fraction, seed=0)


@pytest.mark.parametrize(("count", "fraction"), [(1, 0.1), (2, 0.9)])
def test_something_must_remain_to_train_on(count, fraction):
    with pytest.raises(ConfigError, match=r"leaves none to train on; pass --val_fraction 0 or --val_data_dir"):
        split_episodes(episodes(count), fraction, seed=0)
