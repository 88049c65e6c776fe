"""Parameter trees as flat dicts: "img/embedding/kernel" to array.

A flat dict is split, merged, sharded, listed and compared with plain dict operations.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from flax import traverse_util

from pistar_vf.typing import Params


def flatten(params: Params) -> Params:
    """Nested dict to a flat one with "/"-joined keys, sorted."""
    flat = traverse_util.flatten_dict(dict(params), sep="/")
    return dict(sorted(flat.items()))


def unflatten(flat: Params) -> Params:
    """The inverse of `flatten`."""
    return traverse_util.unflatten_dict(dict(flat), sep="/")


def num_parameters(flat: Params) -> int:
    """Total number of scalars."""
    return sum(leaf.size for leaf in flat.values())


def shapes_of(flat: Params) -> dict[str, tuple[int, ...]]:
    """Name to shape."""
    return {name: tuple(leaf.shape) for name, leaf in flat.items()}


def leaves_digest(flat: Params, also: str = "", whole: Callable[[Any], np.ndarray] = np.asarray) -> str:
    """SHA-256 of names, dtypes, shapes and numbers, in hexadecimal; one leaf at a time is copied to the host.

    Args:
        flat: the leaves.
        also: text that the digest covers besides.
        whole: brings a leaf to the host.
    """
    digest = hashlib.sha256(also.encode())
    for name in sorted(flat):
        leaf = whole(flat[name])
        digest.update(f"{name} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def leaf_differences(expected: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """One line for every leaf that is missing (−), without a place (+) or other than expected (≠).

    Args:
        expected: name to shape, or to whatever else tells two leaves apart.
        stored: the same of what there is.
    """
    return [
        *(f"− {name} {shape}" for name, shape in expected.items() if name not in stored),
        *(f"+ {name} {shape}" for name, shape in stored.items() if name not in expected),
        *(
            f"≠ {name}: expected {shape}, got {stored[name]}"
            for name, shape in expected.items()
            if stored.get(name, shape) != shape
        ),
    ]


def listed_lines(lines: Sequence[str], most: int = 20) -> str:
    """Lines of a report below its headline, indented; of many the first ones."""
    return "\n  ".join(("", *lines[:most], *["…"] * (len(lines) > most)))
