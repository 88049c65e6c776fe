"""What `sharding.py` does on eight devices, as JSON on stdout; run by test_sharding.py in a process of its own,
because the number of CPU devices is fixed when JAX starts."""

import json

import jax
import numpy as np

from pistar_vf.errors import ConfigError
from pistar_vf.sharding import (
    batch_sharding,
    check_batch_size,
    create_mesh,
    put_batch,
    replicated,
    state_sharding,
)


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


def main():
    one_megabyte = 2**18
    tree = {
        "large": np.zeros((6, 512, 1024), np.float32),  # 12 MiB; 1024 is the longest divisible axis
        "longest_not_divisible": np.zeros((1025, 1024), np.float32),  # 4.004 MiB
        "nothing_divisible": np.zeros((1025, 1027), np.float32),
        "limit": np.zeros((4 * one_megabyte,), np.float32),  # exactly 4 MiB
        "below": np.zeros((4 * one_megabyte - 4,), np.float32),
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
