"""What a model predicts, the plain way: all frames in one batch, one call of the model, the rest in numpy."""

import dataclasses

import jax
import numpy as np

from pistar_vf.inference.predict import frame_source
from pistar_vf.models.value_model import ValueFunction


@dataclasses.dataclass(frozen=True)
class PlainValues:
    """V, the logs of its distribution, and the labels of all frames of a dataset."""

    value: np.ndarray
    log_probs: np.ndarray
    target: np.ndarray


def plain_values(predictor, dataset, labels, cache_dir) -> PlainValues:
    table = frame_source(predictor, dataset, labels=labels, cache_dir=cache_dir, num_workers=0).table()
    batch = table.gather(np.arange(dataset.num_frames))
    apply = jax.jit(ValueFunction(predictor.spec.model).apply)
    logits = np.asarray(apply(predictor.params, batch.observation), np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return PlainValues(np.exp(log_probs) @ np.linspace(-1, 0, 201), log_probs, batch.target.astype(np.float64))
