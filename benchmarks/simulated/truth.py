"""What only the simulator knows of the frames, and what follows from it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.typing import Bool, Float, Int, Shaped

if TYPE_CHECKING:
    from simulated.world import Acted


@dataclasses.dataclass(frozen=True)
class Truth:
    """All frames of a dataset, episode after episode.

    Attributes:
        tasks: names of tasks.
        task: of every episode, its position in `tasks`.
        kind: of every episode, see `simulated.script`.
        onset: of every episode, the first frame that went wrong, -1 where none did.
        succeeded: of every episode.
        lengths: of every episode, frames.
        progress: of every frame, in [0, 1].
        observation: Meta-World's, of every frame.
        action: of every frame.
    """

    tasks: Shaped[np.ndarray, " tasks"]
    task: Int[np.ndarray, " e"]
    kind: Shaped[np.ndarray, " e"]
    onset: Int[np.ndarray, " e"]
    succeeded: Bool[np.ndarray, " e"]
    lengths: Int[np.ndarray, " e"]
    progress: Float[np.ndarray, " t"]
    observation: Float[np.ndarray, "t 39"]
    action: Float[np.ndarray, "t 4"]

    @classmethod
    def of(cls, episodes: Sequence[tuple[str, "Acted"]]) -> "Truth":
        """From (task, episode)."""
        names, acted = zip(*episodes)
        tasks = sorted(set(names))
        return cls(
            tasks=np.array(tasks),
            task=np.array([tasks.index(name) for name in names]),
            kind=np.array([own.kind for own in acted]),
            onset=np.array([own.onset for own in acted]),
            succeeded=np.array([own.succeeded for own in acted]),
            lengths=np.array([len(own.progress) for own in acted]),
            progress=np.concatenate([own.progress for own in acted]),
            observation=np.concatenate([own.observation for own in acted]),
            action=np.concatenate([own.action for own in acted]),
        )

    @classmethod
    def read(cls, path: Path) -> "Truth":
        """What `write` wrote."""
        with np.load(path) as file:
            return cls(**{field.name: file[field.name] for field in dataclasses.fields(cls)})

    def write(self, path: Path) -> None:
        """As an .npz file."""
        np.savez_compressed(path, **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    @property
    def layout(self) -> EpisodeLayout:
        """How the frames divide into episodes."""
        return EpisodeLayout(self.lengths)

    @property
    def task_of_frames(self) -> Int[np.ndarray, " t"]:
        return self.layout.spread(self.task)

    @property
    def success_of_frames(self) -> Bool[np.ndarray, " t"]:
        return self.layout.spread(self.succeeded)

    def gain(self, num_frames: int) -> Float[np.ndarray, " t"]:
        """Progress after so many frames minus progress now; past its end an episode stays as it was at the last."""
        layout = self.layout
        ahead = np.minimum(np.arange(len(self.progress)) + num_frames, layout.spread(layout.last_frames))
        return self.progress[ahead].astype(np.float64) - self.progress
