"""The indexable shuffle: a bijection per epoch, different each time, and even."""

import numpy as np
import pytest

from pistar_vf.frames.shuffle import interleaved, shuffled


def epoch(number: int, n: int, seed: int = 0) -> np.ndarray:
    return shuffled(np.arange(number * n, (number + 1) * n), n, seed)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 255, 256, 257, 1000])
@pytest.mark.parametrize("number", [0, 1, 7])
def test_every_row_comes_exactly_once_per_epoch(n, number):
    np.testing.assert_array_equal(np.sort(epoch(number, n)), np.arange(n))


@pytest.mark.parametrize("seed", [0, 42, -1, 2**63])
def test_epochs_and_seeds_differ(seed):
    n = 1000
    orders = [epoch(0, n, seed), epoch(1, n, seed), epoch(0, n, seed + 1)]
    for i, one in enumerate(orders):
        for other in orders[i + 1 :]:
            # Two independent permutations agree in one place on average.
            assert np.sum(one == other) < 10


def test_a_position_means_the_same_row_alone_and_in_company():
    together = shuffled(np.arange(300), 97, seed=3)
    alone = np.concatenate([shuffled(np.array([position]), 97, seed=3) for position in range(300)])
    np.testing.assert_array_equal(together, alone)


def test_rows_are_spread_evenly_over_the_epoch():
    """Chi-square of (third of the epoch) x (third of the rows) over 200 epochs: 4 degrees of freedom."""
    n, epochs = 30, 200
    counts = np.zeros((3, 3))
    for number in range(epochs):
        np.add.at(counts, (np.arange(n) // 10, epoch(number, n) // 10), 1)
    expected = n * epochs / 9
    # 18.5 is the 0.1 % point; the order is fixed, so this never fails by chance.
    assert np.sum((counts - expected) ** 2 / expected) < 18.5


def test_neighbours_do_not_stay_neighbours():
    """In a random order 2/n of the steps go to a neighbouring row."""
    order = epoch(0, 10_000)
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.001


def test_the_order_never_changes_between_versions():
    """A resumed run relies on it; recorded from the first version."""
    np.testing.assert_array_equal(epoch(0, 8, seed=42), [1, 7, 2, 0, 3, 6, 5, 4])


MIXTURES = [(2.0,), (1.0, 1.0), (3.0, 1.0), (0.5, 0.2, 0.3), (1.0, 0.001), (5.0, 4.0, 3.0, 2.0, 1.0)]


@pytest.mark.parametrize("weights", MIXTURES)
@pytest.mark.parametrize("first", [0, 2**40])
def test_streams_have_their_shares_of_any_stretch(weights, first):
    stream, _ = interleaved(first + np.arange(20_000), weights)
    for number, weight in enumerate(weights):
        counts = np.cumsum(np.concatenate([[0], stream == number]))
        for length in (32, 1000, 20_000):
            deviation = counts[length:] - counts[:-length] - length * weight / sum(weights)
            assert np.abs(deviation).max() < len(weights) + length * 2e-6


@pytest.mark.parametrize("weights", MIXTURES)
def test_a_streams_own_positions_have_no_gaps(weights):
    stream, own = interleaved(np.arange(5000), weights)
    for number in range(len(weights)):
        assert own[stream == number].tolist() == list(range((stream == number).sum()))


def test_streams_are_a_function_of_the_position():
    whole = interleaved(np.arange(3000), (3.0, 2.0, 1.0))
    for part, complete in zip(interleaved(np.arange(1000, 3000), (3.0, 2.0, 1.0)), whole):
        np.testing.assert_array_equal(part, complete[1000:])


def test_two_to_one_by_hand():
    """Two thirds of p, rounded down, are 0, 0, 1, 2, 2, 3, 4: the first stream has its turn where that grows."""
    stream, own = interleaved(np.arange(6), (2.0, 1.0))
    assert (stream.tolist(), own.tolist()) == ([1, 0, 0, 1, 0, 0], [0, 0, 1, 1, 2, 3])
