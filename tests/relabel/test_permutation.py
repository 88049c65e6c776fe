"""The permutation test against every order taken one by one."""

import itertools

import numpy as np
import pytest

from pistar_vf.relabel.permutation import same_time_p_value, same_time_slope, trajectories


def episodes_of(lengths):
    """(frame index, episode number) of episodes one after the other."""
    return np.concatenate([np.arange(n) for n in lengths]), np.repeat(np.arange(len(lengths)), lengths)


def test_trajectories_by_hand():
    found = trajectories(np.array([1.0, 2.0, 5.0]), np.array([0, 2, 1]), np.array([3, 3, 7]))
    np.testing.assert_array_equal(found, [[1.0, np.nan, 2.0], [np.nan, 5.0, np.nan]])


def exact(value, target):
    """Share of all orders of whole, equally long episodes whose covariance is as large."""
    centred = [part - part.mean(axis=0) for part in (value, target)]
    found = [(centred[0][list(order)] * centred[1]).sum() for order in itertools.permutations(range(len(value)))]
    return np.mean(np.array(found) >= found[0] - 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_like_every_order(seed):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(5, 1)) * np.ones(7)
    value = 0.5 * target + rng.normal(size=(5, 7))
    time, episode = episodes_of([7] * 5)
    found = same_time_p_value(value.ravel(), target.ravel(), time, episode, np.zeros(35, int))
    assert found == pytest.approx(exact(value, target), abs=0.05)


def test_a_clock_is_never_significant():
    time, episode = episodes_of([10, 14, 12, 9])
    target = -episode / 4 - time / 20
    for clock in (-time / 20, np.full(45, -0.5), -(time**2) / 400):
        assert same_time_p_value(clock, target, time, episode, np.zeros(45, int)) == 1.0


def test_tasks_are_not_mixed():
    """V tells one task from the other and nothing else."""
    time, episode = episodes_of([10] * 8)
    task = episode % 2
    target = -0.5 * task - 0.1 * (episode // 2)
    assert same_time_p_value(-task.astype(float), target, time, episode, task) == 1.0
    assert same_time_p_value(-task.astype(float), target, time, episode, np.zeros(80, int)) < 0.06


def test_slope_by_hand():
    """Two episodes of two tasks each: V differs by half of what the targets do, in task 1 by nothing; time is out."""
    time, episode = episodes_of([3, 3, 3, 3])
    task = episode // 2
    target = np.where(task == 0, 1.0, 2.0) * (episode % 2) - 5.0 * time
    value = np.where(task == 0, 0.5, 0.0) * (episode % 2) + time**2 + 7.0 * task
    arguments = (target, time, episode, task)
    # Differences from the mean are ±1/2 and ±1 in the targets: (1/4 · 1/2 + 0) / (1/4 + 1).
    assert same_time_slope(value, *arguments) == pytest.approx(0.125 / 1.25)
    assert same_time_slope(2.0 * target, *arguments) == pytest.approx(2.0)
    assert same_time_slope(time.astype(float), *arguments) == 0.0
    assert np.isnan(same_time_slope(value, time.astype(float), time, episode, task))
