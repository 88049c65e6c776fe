"""Runs the model over frames: validation during training, evaluation after it."""

import dataclasses
import itertools
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from pistar_vf.batch import ValueBatch
from pistar_vf.frames.loader import Frames, eval_batches
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.metrics import InputSensitivity, collect, frame_metrics, summarise
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.sharding import put_batch, replicated
from pistar_vf.training.step import create_logits_fn
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
        position = np.arange(count)
        if max_frames is not None and max_frames < count:
            position = np.linspace(0, count - 1, max_frames).round().astype(np.int64)
        return cls(rows=episodes.at(position), episode=episodes.episode_numbers()[position])


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
        self._table, self._sample, self._mesh = table, sample, mesh
        self._batch_size, self._num_workers = batch_size, num_workers
        logits_fn = create_logits_fn(value_function)
        support = value_function.config.support

        def measure(part: Params, frozen: Params, batch: ValueBatch) -> dict[str, jax.Array]:
            return frame_metrics(logits_fn(part, frozen, batch.observation), batch.target, support)

        # Replicated results, so that every process can read all of them.
        self._measure = jax.jit(measure, out_shardings=replicated(mesh))

    def frames(self, part: Params, frozen: Params) -> dict[str, np.ndarray]:
        """Per-frame metrics of the whole sample, in its order."""
        return collect(self._run(part, frozen, self._sample.rows))

    def summary(self, part: Params, frozen: Params) -> dict[str, float]:
        """`metrics.summarise` of the whole sample."""
        return summarise(self.frames(part, frozen), self._table.labels[self._sample.rows], self._sample.episode)

    def sensitivity(self, part: Params, frozen: Params) -> InputSensitivity:
        """How V's error grows when images or states come from other frames."""
        chosen = np.linspace(0, len(self._sample.rows) - 1, min(_SENSITIVITY_FRAMES, len(self._sample.rows)))
        rows = np.random.default_rng(0).permutation(self._sample.rows[np.unique(chosen.round().astype(np.int64))])
        target = self._table.labels[rows]

        def run(swapped: str | None) -> np.ndarray:
            return collect(self._run(part, frozen, rows, swapped))["value"]

        value, images = run(None), run("images")
        state = run("state") if self._table.state_statistics is not None else np.full_like(target, np.nan)
        return InputSensitivity(
            mae=float(np.abs(value - target).mean()),
            mae_images_shuffled=float(np.abs(images - target).mean()),
            mae_state_shuffled=float(np.abs(state - target).mean()),
            value_std=float(value.std()),
        )

    def _run(
        self, part: Params, frozen: Params, rows: np.ndarray, swapped: str | None = None
    ) -> Iterator[tuple[dict[str, jax.Array], np.ndarray]]:
        """Metrics per batch; the input named `swapped` comes from the sample's next frame (it is in random order)."""
        batches = self._batches(rows)
        others = self._batches(np.roll(rows, 1)) if swapped else itertools.repeat(None)
        for start, batch, other in zip(range(0, len(rows), self._batch_size), batches, others):
            if swapped:
                observation = batch.observation.replace(**{swapped: getattr(other.observation, swapped)})
                batch = batch.replace(observation=observation)
            # Of the whole batch, not of this process's share: the metrics come back replicated.
            frame = np.where(np.arange(self._batch_size) < len(rows) - start, 0, -1)
            yield jax.device_get(self._measure(part, frozen, put_batch(batch, self._mesh))), frame

    def _batches(self, rows: np.ndarray) -> Iterator[ValueBatch]:
        index, count = jax.process_index(), jax.process_count()
        return eval_batches(self._table, rows, self._batch_size, self._num_workers, index, count)
