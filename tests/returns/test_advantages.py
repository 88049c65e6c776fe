"""Advantages against sums written out by hand and against a loop over frames."""

import numpy as np
import pytest

from pistar_vf.returns.advantages import (
    gae_advantages,
    monte_carlo_advantages,
    n_step_advantages,
)

REWARDS = np.array([-0.25, -0.25, -0.25, -0.25, 0.0], np.float32)
VALUES = np.array([-0.75, -0.5, -0.625, -0.25, -0.125], np.float32)
FIVE = np.array([5])


def loop(rewards, values, lengths, terminal, num_steps):
    """One frame at a time, as the formula reads."""
    found, start = [], 0
    for length, past in zip(lengths, terminal):
        r, v = rewards[start : start + length].astype(float), values[start : start + length].astype(float)
        for t in range(length):
            future = v[t + num_steps] if t + num_steps < length else past
            found.append(r[t : t + num_steps].sum() + future - v[t])
        start += length
    return np.array(found)


def some_episodes(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 12, 7)
    rewards, values = (rng.uniform(-1, 0, lengths.sum()).astype(np.float32) for _ in range(2))
    return rewards, values, lengths, rng.uniform(-1, 0, 7).astype(np.float32)


def test_two_steps_by_hand():
    # r_t + r_{t+1} + V_{t+2} - V_t; the last two frames meet the terminal value -1.
    expected = [
        -0.25 - 0.25 - 0.625 + 0.75,
        -0.25 - 0.25 - 0.25 + 0.5,
        -0.25 - 0.25 - 0.125 + 0.625,
        -0.25 + 0.0 - 1.0 + 0.25,
        0.0 - 1.0 + 0.125,
    ]
    found = n_step_advantages(REWARDS, VALUES, FIVE, np.array([-1.0]), 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_monte_carlo_by_hand():
    expected = [-1.0 + 0.75, -0.75 + 0.5, -0.5 + 0.625, -0.25 + 0.25, 0.0 + 0.125]
    np.testing.assert_allclose(monte_carlo_advantages(REWARDS, VALUES, FIVE, np.zeros(1)), expected, atol=1e-12)


def test_gae_by_hand():
    # δ = (0, -0.375, 0.125, -0.125, 0.125) with λ = ½, from the last frame backwards.
    expected = [-0.1640625, -0.328125, 0.09375, -0.0625, 0.125]
    np.testing.assert_allclose(gae_advantages(REWARDS, VALUES, FIVE, np.zeros(1), 0.5), expected, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_gae_and_v_are_the_recursion_of_lambda_returns(seed, decay):
    """R_t = r_t + (1 - λ) V_{t+1} + λ R_{t+1}, which is V_t + A_t."""
    rewards, values, lengths, terminal = some_episodes(seed)
    expected, start = [], 0
    for length, past in zip(lengths, terminal):
        ahead, own = past, [0.0] * length
        for t in range(length - 1, -1, -1):
            following = past if t == length - 1 else values[start + t + 1]
            ahead = own[t] = rewards[start + t] + (1 - decay) * following + decay * ahead
        expected += own
        start += length
    found = values + gae_advantages(rewards, values, lengths, terminal, decay)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("num_steps", [1, 3, 50])
@pytest.mark.parametrize("seed", range(5))
def test_many_episodes_like_a_loop(seed, num_steps):
    rewards, values, lengths, terminal = some_episodes(seed)
    expected = loop(rewards, values, lengths, terminal, num_steps)
    found = n_step_advantages(rewards, values, lengths, terminal, num_steps)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_gae_ends_are_the_other_two(seed):
    episodes = some_episodes(seed)
    np.testing.assert_allclose(gae_advantages(*episodes, 1.0), monte_carlo_advantages(*episodes), atol=1e-9)
    np.testing.assert_allclose(gae_advantages(*episodes, 0.0), n_step_advantages(*episodes, 1), atol=1e-9)


def test_the_trap():
    """A failure of 100 frames with V = -0.98, reward -1/T and terminal reward 0, as the conversion tool writes it."""
    rewards = np.full(100, -0.01, np.float32)
    rewards[-1] = 0
    values = np.full(100, -0.98, np.float32)
    wrong = n_step_advantages(rewards, values, np.array([100]), np.zeros(1), 50)
    assert 0.48 < wrong[50:].min() < wrong[50:].max() < 1.0  # the tail of a failure would be "positive"
    right = n_step_advantages(rewards, values, np.array([100]), values[-1:], 50)
    assert right.max() < 1e-6
