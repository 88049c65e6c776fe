"""The rows of chosen episodes as one sequence."""

from collections.abc import Iterable

import numpy as np

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.lerobot.episode import Episode


class EpisodeRows:
    """The rows of some episodes as one sequence, without listing them.

    Attributes:
        episodes: in the order of the sequence.
        layout: how the sequence divides into them.
    """

    def __init__(self, episodes: Iterable[Episode]):
        self.episodes = tuple(episodes)
        self.layout = EpisodeLayout.of(episode.length for episode in self.episodes)
        self._shift = np.array([episode.start for episode in self.episodes], np.int64) - self.layout.starts

    def __len__(self) -> int:
        return self.layout.num_frames

    def at(self, position: np.ndarray) -> np.ndarray:
        """Dataset rows of positions in [0, len)."""
        return position + self._shift[np.searchsorted(self.layout.ends, position, side="right")]

    def all(self) -> np.ndarray:
        """Dataset rows of every position, in order."""
        return self.at(np.arange(len(self)))
