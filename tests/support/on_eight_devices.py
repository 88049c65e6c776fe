"""What `sharding.py` does on eight devices, as JSON on stdout; run by test_sharding.py in a process of its own,
because the number of CPU devices is fixed when JAX starts."""

import json
import math

import jax
import numpy as np
import optax

from pistar_vf.errors import ConfigError
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_config import ARCHITECTURES
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.sharding import (
    batch_sharding,
    check_batch_size,
    create_mesh,
    put_batch,
    replicated,
    state_sharding,
)
from pistar_vf.training.state import create_state, split_params


def _message(function, *args):
    try:
        function(*args)
    except ConfigError as error:
        return str(error)
    return None


def _placed_shapes(tree, placements):
    """(shape per device, number of distinct parts) of every leaf."""
    arrays = jax.tree.map(jax.device_put, tree, placements)
    return {
        name: [list(array.addressable_shards[0].data.shape), len({str(s.index) for s in array.addressable_shards})]
        for name, array in arrays.items()
    }


def _full_size_shares():
    """Freeze mode to (a device's bytes of the full-size training state, all bytes), with fsdp = 8."""
    model = ARCHITECTURES["pistar"](siglip.VARIANTS["So400m/14"], gemma3.VARIANTS["gemma3_270m"], state_dim=29)
    shapes, mesh = flatten(ValueFunction(model).shapes()), create_mesh(8)
    shares = {}
    for mode in ("none", "all_backbones"):
        trainable, frozen = split_params(shapes, mode)
        state = jax.eval_shape(lambda leaves: create_state(leaves, optax.adamw(1e-3)), trainable)
        leaves = jax.tree.leaves((state, frozen))
        placements = jax.tree.leaves(state_sharding(mesh, (state, frozen)))
        own = [math.prod(place.shard_shape(leaf.shape)) for place, leaf in zip(placements, leaves, strict=True)]
        shares[mode] = [4 * sum(own), 4 * sum(leaf.size for leaf in leaves)]
    return shares


def main():
    one_megabyte = 2**18
    tree = {
        "large": np.zeros((6, 512, 1024), np.float32),  # 12 MiB; 1024 is the longest divisible axis
        "longest_not_divisible": np.zeros((1025, 1024), np.float32),  # 4.004 MiB
        "nothing_divisible": np.zeros((1025, 1027), np.float32),
        "limit": np.zeros((one_megabyte,), np.float32),  # exactly 1 MiB
        "below": np.zeros((one_megabyte - 4,), np.float32),
        "scalar": np.zeros((), np.float32),
    }
    mesh = create_mesh(4)
    batch = {"image": np.arange(16 * 3).reshape(16, 3), "target": np.arange(16)}
    put = put_batch(batch, mesh)
    print(
        json.dumps(
            {
                "meshes": {n: dict(create_mesh(n).shape) for n in (1, 2, 4, 8)},
                "three_of_devices": dict(create_mesh(3, jax.devices()[:6]).shape),
                "state": _placed_shapes(tree, state_sharding(mesh, tree)),
                "state_without_fsdp": _placed_shapes(tree, state_sharding(create_mesh(1), tree)),
                "small_limit": _placed_shapes(
                    {"below": tree["below"]}, state_sharding(mesh, {"below": tree["below"]}, 1)
                ),
                "batch": [[int(x) for x in s.data[:, 0]] for s in put["image"].addressable_shards],
                "target": [[int(x) for x in s.data] for s in put["target"].addressable_shards],
                "total": int(jax.jit(lambda b: b["image"].sum(), out_shardings=replicated(mesh))(put)),
                "batch_spec": str(batch_sharding(mesh).spec),
                "full_size": _full_size_shares(),
                "errors": {
                    "fsdp_3": _message(create_mesh, 3),
                    "fsdp_0": _message(create_mesh, 0),
                    "fsdp_16": _message(create_mesh, 16),
                    "batch_12": _message(check_batch_size, 12, mesh),
                    "batch_0": _message(check_batch_size, 0, mesh),
                    "batch_16": _message(check_batch_size, 16, mesh),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
