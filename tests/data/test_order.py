"""The indexable shuffle: a bijection per epoch, different each time, and even."""

import numpy as np
import pytest

from pistar_vf.data.order import shuffled


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
