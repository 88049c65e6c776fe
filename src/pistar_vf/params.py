"""Parameter trees as flat dicts: "img/embedding/kernel" to array.

A flat dict is split, merged, sharded, listed and compared with plain dict operations.
"""

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
