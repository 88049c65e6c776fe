"""A dataset of any size a few thousand frames at a time, the next ones decoded while some are in use."""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.open_table import FrameSource
from pistar_vf.lerobot.dataset import Episode

_SHARD_FRAMES = 4096


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some episodes and their frames.

    Attributes:
        episodes: neighbours, in the dataset's order.
        table: holds the frames of these alone, at the rows they have in the dataset.
    """

    episodes: tuple[Episode, ...]
    table: FrameTable

    @property
    def rows(self) -> np.ndarray:
        """Dataset rows of all frames."""
        return np.arange(self.episodes[0].start, self.episodes[-1].start + self.episodes[-1].length)


def iterate_shards(source: FrameSource, episodes: Sequence[Episode]) -> Iterator[Shard]:
    """Cuts episodes into shards of a few thousand frames; the next one is decoded while one is in use.

    Frames in the cache are used as they are. Others are decoded into a temporary folder and are gone with their shard,
    so that neither memory nor disk grows with the dataset.

    Args:
        source: opens the frames.
        episodes: those wanted; none give no shards.

    Raises:
        PistarError: a video is missing or damaged.
    """
    parts = _neighbours(episodes)
    if not parts:
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="decode")
    try:
        upcoming = pool.submit(source.passing_table, parts[0])
        for part, following in zip(parts, [*parts[1:], None]):
            table = upcoming.result()
            if following is not None:
                upcoming = pool.submit(source.passing_table, following)
            yield Shard(part, table)
    finally:
        pool.shutdown(cancel_futures=True)


def _neighbours(episodes: Sequence[Episode]) -> list[tuple[Episode, ...]]:
    """Runs of episodes whose rows follow each other, each of about `_SHARD_FRAMES` frames."""
    parts: list[list[Episode]] = []
    size = 0
    for episode in sorted(episodes, key=lambda e: e.start):
        follows = bool(parts) and parts[-1][-1].start + parts[-1][-1].length == episode.start
        if not follows or size + episode.length > _SHARD_FRAMES:
            parts.append([])
            size = 0
        parts[-1].append(episode)
        size += episode.length
    return [tuple(part) for part in parts]
