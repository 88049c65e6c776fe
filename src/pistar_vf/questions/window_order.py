"""A shuffle for data that is cheap to read in blocks only: a few blocks at a time, and among them in any order.

Every epoch draws an order of the blocks, cuts it into windows of a few blocks, and shuffles each window's records.
Like `order.shuffled` it is a function of the position alone: resuming needs one integer.
"""

import functools

import numpy as np

from pistar_vf.frames.shuffle import shuffled
from pistar_vf.typing import Int


class WindowOrder:
    """Endless epochs of records 0 … n - 1 that lie in blocks one after another."""

    def __init__(self, block_sizes: Int[np.ndarray, " blocks"], blocks_per_window: int, seed: int):
        """Nothing is drawn yet.

        Args:
            block_sizes: records of each block; their sum n is above 0.
            blocks_per_window: how many blocks to shuffle among; all of them make it a full shuffle.
            seed: any integer.
        """
        self._sizes, self._blocks_per_window, self._seed = block_sizes, blocks_per_window, seed
        self._starts = np.cumsum(block_sizes) - block_sizes
        self._epoch = functools.lru_cache(maxsize=2)(self._draw_epoch)

    def __len__(self) -> int:
        return int(self._sizes.sum())

    def at(self, position: Int[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        """Records of positions >= 0 in the endless sequence; within an epoch every record comes exactly once."""
        result, epochs = np.empty_like(position), position // len(self)
        for epoch in np.unique(epochs).tolist():
            chosen = epochs == epoch
            result[chosen] = self._at(position[chosen] % len(self), epoch)
        return result

    def _at(self, place: Int[np.ndarray, " b"], epoch: int) -> Int[np.ndarray, " b"]:
        blocks, block_ends, window_ends = self._epoch(epoch)
        windows = np.searchsorted(window_ends, place, side="right")
        slot = np.empty_like(place)
        for window in np.unique(windows).tolist():
            start = int(window_ends[window - 1]) if window else 0
            size = int(window_ends[window]) - start
            chosen = windows == window
            slot[chosen] = start + shuffled(epoch * size + place[chosen] - start, size, self._seed + window + 1)
        drawn = np.searchsorted(block_ends, slot, side="right")
        block = blocks[drawn]
        return self._starts[block] + slot - (block_ends[drawn] - self._sizes[block])

    def _draw_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The epoch's order of the blocks, and where in the epoch each block and each window ends."""
        count = len(self._sizes)
        blocks = shuffled(np.arange(epoch * count, (epoch + 1) * count), count, self._seed)
        block_ends = np.cumsum(self._sizes[blocks])
        last = np.arange(self._blocks_per_window, count + self._blocks_per_window, self._blocks_per_window) - 1
        return blocks, block_ends, block_ends[np.minimum(last, count - 1)]
