"""Targets of time-outs: from the model's own value of their last frames, looked at again every so many steps."""

from collections.abc import Iterator

import numpy as np
from jax.sharding import Mesh

from pistar_vf.batch import ValueBatch
from pistar_vf.frames.loader import Frames
from pistar_vf.inference.evaluate import Evaluator, FrameSample
from pistar_vf.labels.timeouts import Timeouts
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.typing import Float, Params


class TimeoutBootstrap:
    """Keeps the labels of time-outs up to date.

    Args:
        value_function: the model.
        table: frames of the training dataset; the labels of time-outs are written into it.
        timeouts: training episodes that were cut off.
        batch_size: global batch size.
        mesh: the devices.
        num_workers: threads that gather the last frames.

    Attributes:
        values: V of every time-out's last frame that is in force, float32; NaN before the first look.
    """

    def __init__(
        self,
        value_function: ValueFunction,
        table: Frames,
        timeouts: Timeouts,
        batch_size: int,
        mesh: Mesh,
        num_workers: int,
    ):
        self._labels, self._timeouts = table.labels, timeouts
        rows = timeouts.last_rows
        sample = FrameSample(rows=rows, episode=np.arange(len(rows)))
        self._evaluator = Evaluator(value_function, table, sample, batch_size, mesh, num_workers)
        self.values = np.full(len(rows), np.nan, np.float32)

    def look(self, ema: Params, frozen: Params) -> None:
        """Computes V of the last frames and puts it in force."""
        self.use(self._evaluator.frames(ema, frozen)["value"])

    def use(self, values: Float[np.ndarray, " e"]) -> None:
        """Puts values in force."""
        self.values = values
        self._timeouts.write(self._labels, values)


def with_current_targets(labels: Float[np.ndarray, " t"], batches: Iterator[ValueBatch]) -> Iterator[ValueBatch]:
    """The batches with the targets in force when each is taken.

    Batches are gathered ahead, so targets are looked up when a batch is used: what a step sees depends on the values
    in force alone, not on how far the threads have got.
    """
    for batch in batches:
        yield batch.replace(target=labels[batch.frame])
