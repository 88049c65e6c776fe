"""How well a model in training predicts a sample of frames, and whether it reads its inputs."""

import dataclasses

import numpy as np
from jax.sharding import Mesh

from pistar_vf.episode_layout import evenly_spread
from pistar_vf.frames.loader import Frames
from pistar_vf.inference.forward import FrameScorer, Swapped
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.metrics import InputSensitivity, collect, frame_metrics, summarise
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.typing import Params

_SENSITIVITY_FRAMES = 256


@dataclasses.dataclass(frozen=True)
class FrameSample:
    """Frames to evaluate: an even sample of some episodes' rows.

    Attributes:
        rows: dataset rows, ascending within an episode.
        episode: number of the episode of each row.
    """

    rows: np.ndarray
    episode: np.ndarray

    @classmethod
    def of(cls, episodes: EpisodeRows, max_frames: int | None) -> "FrameSample":
        """At most `max_frames` rows, evenly spaced; all of them when None."""
        count = len(episodes)
        position = evenly_spread(count, count if max_frames is None else max_frames)
        return cls(rows=episodes.at(position), episode=episodes.layout.numbers()[position])


class Evaluator:
    """Compiled once, used for every validation.

    Args:
        value_function: the model.
        table: the frames.
        sample: which of them.
        batch_size: global batch size.
        mesh: the devices.
        num_workers: threads that gather batches.
    """

    def __init__(
        self,
        value_function: ValueFunction,
        table: Frames,
        sample: FrameSample,
        batch_size: int,
        mesh: Mesh,
        num_workers: int = 2,
    ):
        self._table, self._sample = table, sample
        self._scorer = FrameScorer(value_function.config, batch_size, mesh, num_workers)

    def frames(self, part: Params, frozen: Params) -> dict[str, np.ndarray]:
        """Per-frame metrics of the whole sample, in its order."""
        return self._run(part, frozen, self._sample.rows)

    def summary(self, part: Params, frozen: Params) -> dict[str, float]:
        """`metrics.summarise` of the whole sample."""
        return summarise(self.frames(part, frozen), self._table.labels[self._sample.rows], self._sample.episode)

    def sensitivity(self, part: Params, frozen: Params) -> InputSensitivity:
        """How V's error grows when images or states come from other frames."""
        chosen = self._sample.rows[evenly_spread(len(self._sample.rows), _SENSITIVITY_FRAMES)]
        rows = np.random.default_rng(0).permutation(chosen)
        target = self._table.labels[rows]

        def value(swapped: Swapped | None) -> np.ndarray:
            return self._run(part, frozen, rows, swapped)["value"]

        own, images = value(None), value("images")
        state = value("state") if self._table.state_statistics is not None else np.full_like(target, np.nan)
        return InputSensitivity(
            mae=float(np.abs(own - target).mean()),
            mae_images_shuffled=float(np.abs(images - target).mean()),
            mae_state_shuffled=float(np.abs(state - target).mean()),
            value_std=float(own.std()),
        )

    def _run(
        self, part: Params, frozen: Params, rows: np.ndarray, swapped: Swapped | None = None
    ) -> dict[str, np.ndarray]:
        return collect(self._scorer.measure((part, frozen), self._table, rows, frame_metrics, swapped))
