"""V of a dataset's frames from a restored model, each encoded once, on all devices."""

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.frames.loader import Frames, FrameTable
from pistar_vf.frames.open_table import FrameSource
from pistar_vf.inference.forward import FrameMeasure, FrameScorer, value_and_probs
from pistar_vf.inference.predictor import ValuePredictor, warn_of_unknown_prompts
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.metrics import collect, frame_metrics
from pistar_vf.params import flatten
from pistar_vf.sharding import create_mesh, replicated
from pistar_vf.typing import Array, Float, Params

_NUM_THREADS = 2


class FramePredictor:
    """A restored value model on all devices, for batches of one size.

    Args:
        predictor: the restored model.
        batch_size: frames per device and call.
        measure: what `metrics` computes from logits, targets and support; jit-able.
    """

    def __init__(self, predictor: ValuePredictor, batch_size: int, measure: FrameMeasure = frame_metrics):
        mesh = create_mesh()
        self._scorer = FrameScorer(predictor.spec.model, batch_size * mesh.size, mesh, _NUM_THREADS)
        self._params: tuple[Params, Params] = (jax.device_put(flatten(predictor.params), replicated(mesh)), {})
        self._measure = measure

    def values(self, table: Frames, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(V float32, probabilities float16) of the table's rows, batch by batch."""
        for found in self._scorer.measure(self._params, table, rows, _distribution):
            yield found["value"], found["probs"]

    def metrics(self, table: FrameTable, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What `measure` finds in the table's rows, in their order, its labels being the targets."""
        return collect(self._scorer.measure(self._params, table, rows, self._measure))

    def with_images_of_others(self, table: FrameTable, rows: np.ndarray) -> np.ndarray:
        """V of the rows when each sees the images of the row before it in the list."""
        return collect(self._scorer.measure(self._params, table, rows, _distribution, "images"))["value"]


def frame_source(
    predictor: ValuePredictor,
    dataset: LeRobotDataset,
    *,
    camera_keys: dict[str, str | None] | None = None,
    labels: Float[np.ndarray, " t"] | None = None,
    cache_dir: Path | None = None,
    num_workers: int | None = None,
) -> FrameSource:
    """A dataset as a checkpoint wants it: its cameras, image size, tokenizer and normalisation.

    Args:
        predictor: the restored model.
        dataset: all of its episodes.
        camera_keys: model-side camera name to feature; None for those of training.
        labels: targets of all frames; None for 0 everywhere.
        cache_dir: of decoded frames.
        num_workers: decoding processes.

    Raises:
        PistarError: a camera or a video is missing, or a prompt is too long.
    """
    spec = predictor.spec
    warn_of_unknown_prompts(spec, dataset.prompts)
    return FrameSource(
        dataset,
        camera_keys=spec.camera_keys if camera_keys is None else camera_keys,
        image_size=spec.model.siglip.image_size,
        image_fit=spec.image_fit,
        tokenizer=predictor.tokenizer,
        statistics=spec.state,
        labels=labels,
        cache_dir=cache_dir,
        num_workers=num_workers,
        progress=False,
    )


def _distribution(logits: Array, target: Array, support: Support) -> dict[str, Array]:
    """V and its distribution, which is kept in float16."""
    value, probs = value_and_probs(logits, support)
    return {"value": value, "probs": probs.astype(jnp.float16)}
