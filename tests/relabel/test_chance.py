"""P(A > ε) against all pairs of atoms, one frame at a time."""

import numpy as np
import pytest

from pistar_vf.categorical import Support
from pistar_vf.relabel import chance as module
from pistar_vf.relabel.chance import chance_above

SUPPORT = Support(num_atoms=11)
ATOMS = np.linspace(-1, 0, 11)


def all_pairs(probs, rewards, lengths, terminal, num_steps, threshold):
    found, start = [], 0
    for length, past in zip(lengths, terminal):
        for t in range(length):
            total = rewards[start + t : start + min(t + num_steps, length)].sum()
            inside = t + num_steps < length
            future = probs[start + t + num_steps] if inside else [1.0]
            ahead = ATOMS if inside else [past]
            found.append(
                sum(
                    q * p
                    for q, z_next in zip(future, ahead)
                    for p, z in zip(probs[start + t], ATOMS)
                    if total + z_next - z > threshold[start + t] + 1e-6
                )
            )
        start += length
    return np.array(found)


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    lengths = np.array([7, 5, 1])
    probs = rng.dirichlet(np.ones(11), 13)
    rewards = rng.uniform(-0.2, 0, 13)
    return probs, rewards, lengths, np.array([0.0, -0.37, -1.0]), rng.uniform(-0.3, 0.3, 13)


@pytest.mark.parametrize("num_steps", [1, 3, 50])
def test_like_all_pairs(frames, num_steps, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 4)  # several chunks
    probs, rewards, lengths, terminal, threshold = frames
    found = chance_above(probs, SUPPORT, rewards, lengths, terminal, num_steps, threshold)
    expected = all_pairs(probs, rewards, lengths, terminal, num_steps, threshold)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_difference_on_an_atom_is_not_above():
    sure = np.zeros((2, 11))
    sure[0, 3], sure[1, 5] = 1, 1  # Z' - Z = 0.2 exactly
    for threshold, expected in ((0.2, 0.0), (0.19, 1.0)):
        found = chance_above(sure, SUPPORT, np.zeros(2), np.array([2]), np.zeros(1), 1, np.full(2, threshold))
        assert found[0] == expected


def test_without_a_threshold_there_is_no_chance(frames):
    """A task in which the policy never acted has none."""
    probs, rewards, lengths, terminal, threshold = frames
    unknown = np.arange(13) >= 7
    found = chance_above(probs, SUPPORT, rewards, lengths, terminal, 3, np.where(unknown, np.nan, threshold))
    expected = all_pairs(probs, rewards, lengths, terminal, 3, threshold)
    np.testing.assert_allclose(found, np.where(unknown, np.nan, expected), atol=1e-12)
