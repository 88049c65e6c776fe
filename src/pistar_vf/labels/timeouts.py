"""Episodes that were cut off: neither a success nor a failure, so what the model expects of their end decides."""

import dataclasses
from collections.abc import Collection

import numpy as np

from pistar_vf.lerobot.dataset import Episode
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.returns import Normaliser, Outcome
from pistar_vf.typing import Float, Int


@dataclasses.dataclass(frozen=True)
class Timeouts:
    """Episodes that were cut off: their targets follow from V of their last frames.

    Attributes:
        episodes: the episodes.
        tasks: the prompt of each.
        normaliser: of the model in training.
    """

    episodes: tuple[Episode, ...]
    tasks: tuple[str, ...]
    normaliser: Normaliser | None

    def among(self, episodes: Collection[Episode]) -> "Timeouts":
        """Those that are among the given episodes."""
        kept = {episode.index for episode in episodes}
        pairs = [pair for pair in zip(self.episodes, self.tasks) if pair[0].index in kept]
        return dataclasses.replace(self, episodes=tuple(e for e, _ in pairs), tasks=tuple(task for _, task in pairs))

    @property
    def last_rows(self) -> Int[np.ndarray, " e"]:
        """Dataset rows of the last frames."""
        return np.array([episode.start + episode.length - 1 for episode in self.episodes], np.int64)

    def write(self, labels: Float[np.ndarray, " t"], end_values: Float[np.ndarray, " e"]) -> None:
        """Puts the targets that follow from V of the last frames into their places."""
        assert self.normaliser is not None, "only of a known unit are targets computed"
        rows = EpisodeRows(self.episodes)
        outcomes = [Outcome.TIMEOUT] * len(self.episodes)
        targets = self.normaliser.targets(rows.layout.lengths, self.tasks, outcomes, end_values)
        labels[rows.at(np.arange(len(rows)))] = targets
