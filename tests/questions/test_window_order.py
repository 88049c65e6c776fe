"""The shuffle in windows: a permutation per epoch that never has more than one window's blocks open."""

import numpy as np
import pytest

from pistar_vf.frames.shuffle import shuffled
from pistar_vf.questions.window_order import WindowOrder

SIZES = np.array([5, 0, 7, 1, 9, 4, 4, 6])
N = 36
BLOCK_OF = np.repeat(np.arange(8), SIZES)


def epoch(number: int, blocks_per_window: int = 3, seed: int = 0) -> np.ndarray:
    return WindowOrder(SIZES, blocks_per_window, seed).at(np.arange(number * N, (number + 1) * N))


@pytest.mark.parametrize("blocks_per_window", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("number", [0, 1, 7])
def test_every_record_comes_exactly_once_per_epoch(blocks_per_window, number):
    np.testing.assert_array_equal(np.sort(epoch(number, blocks_per_window)), np.arange(N))


@pytest.mark.parametrize("blocks_per_window", [1, 2, 3])
def test_few_blocks_are_open_at_a_time(blocks_per_window):
    """From the first to the last use of its records, a block is among those of one window."""
    blocks = BLOCK_OF[epoch(0, blocks_per_window)]
    used = [np.flatnonzero(blocks == block) for block in range(8) if SIZES[block]]
    open_at = np.array([sum(u[0] <= place <= u[-1] for u in used) for place in range(N)])
    assert open_at.max() <= blocks_per_window
    assert blocks_per_window == 1 or open_at.max() > 1


def test_epochs_and_seeds_differ():
    orders = [epoch(0), epoch(1), epoch(0, seed=1)]
    for i, one in enumerate(orders):
        for other in orders[i + 1 :]:
            assert np.sum(one == other) < 10


def test_a_position_means_the_same_record_alone_and_in_company():
    positions = np.arange(3 * N)
    together = WindowOrder(SIZES, 3, seed=3).at(positions)
    alone = [WindowOrder(SIZES, 3, seed=3).at(positions[i : i + 1])[0] for i in positions]
    np.testing.assert_array_equal(together, alone)


def test_one_block_is_shuffled_as_frames_are():
    """The window's seed is the seed plus one."""
    order = WindowOrder(np.array([50]), 1, seed=4)
    np.testing.assert_array_equal(order.at(np.arange(150)), shuffled(np.arange(150), 50, seed=5))


def test_records_of_a_window_are_mixed():
    """Two windows of two blocks of 100: in a random order half of the neighbours come from different blocks."""
    order = WindowOrder(np.full(4, 100), 2, seed=0).at(np.arange(400))
    changes = np.diff(order // 100) != 0
    assert 0.4 < changes.mean() < 0.6
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.05


def test_the_order_never_changes_between_versions():
    """A resumed run relies on it; recorded from the first version."""
    assert WindowOrder(np.array([3, 2, 4]), 2, seed=42).at(np.arange(9)).tolist() == [5, 6, 2, 7, 1, 8, 0, 4, 3]
