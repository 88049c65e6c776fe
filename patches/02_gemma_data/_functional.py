"""Padding of token sequences."""

import jax
import numpy as np


def pad(element, max_length, *, truncate=False, fill_value=0, axis=-1):
    """Fills the last axis up to `max_length`.

    Args:
        element: an array, a list of sequences of numbers (one array comes back), or a tree of arrays.
        max_length: the length of the result.
        truncate: cut what is longer, instead of refusing it.
        fill_value: what to fill with.
        axis: the last one.

    Raises:
        ValueError: a sequence is longer than `max_length` and is not to be cut, or `axis` is not the last one.
    """
    if axis != -1:
        raise ValueError(f"axis: expected -1, got {axis}")
    if isinstance(element, (list, tuple)) and all(np.ndim(row) == 1 for row in element):
        return np.stack([_pad(np.asarray(row), max_length, truncate, fill_value) for row in element])
    return jax.tree.map(lambda leaf: _pad(leaf, max_length, truncate, fill_value), element)


def _pad(array, max_length, truncate, fill_value):
    missing = max_length - array.shape[-1]
    if missing < 0:
        if not truncate:
            raise ValueError(f"expected at most {max_length} tokens, got {array.shape[-1]}")
        return array[..., :max_length]
    module = np if isinstance(array, np.ndarray) else jax.numpy
    return module.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)], constant_values=fill_value)
