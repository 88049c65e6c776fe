"""The rows of chosen episodes as one sequence."""

from collections.abc import Sequence

import numpy as np

from pistar_vf.lerobot.episode import Episode


class EpisodeRows:
    """The rows of some episodes as one sequence, without listing them."""

    def __init__(self, episodes: Sequence[Episode]):
        self.episodes = tuple(episodes)
        lengths = np.array([episode.length for episode in self.episodes], np.int64)
        self._ends = np.cumsum(lengths)
        starts = np.array([episode.start for episode in self.episodes], np.int64)
        self._shift = starts - (self._ends - lengths)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def at(self, position: np.ndarray) -> np.ndarray:
        """Dataset rows of positions in [0, len)."""
        return position + self._shift[np.searchsorted(self._ends, position, side="right")]

    def all(self) -> np.ndarray:
        """Dataset rows of every position, in order."""
        return self.at(np.arange(len(self)))

    def episode_numbers(self) -> np.ndarray:
        """For every position, which of `episodes` it belongs to; int32."""
        lengths = np.diff(self._ends, prepend=0)
        return np.repeat(np.arange(len(self.episodes), dtype=np.int32), lengths)
