"""The device mesh and who holds what on it.

Two axes: `data` and `fsdp`. Batches are split over both. Large parameters, their optimiser moments and their moving
averages are split over `fsdp` along their longest divisible dimension; everything small is replicated. XLA derives
the collectives from these placements, so the training step itself does not know how many devices there are.

References:
    Zhao et al., "PyTorch FSDP", arXiv 2304.11277 (fully sharded data parallelism).
"""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pistar_vf.errors import ConfigError

MIN_SHARDED_BYTES = 2**20
"""Leaves below this are replicated: gathering them would cost more than it saves. Upstream's limit of 4 MiB leaves the
attention matrices of Gemma3-270M whole: each of eight devices would hold 1.42 eighths of the state, with this 1.02."""


def create_mesh(fsdp_devices: int = 1, devices: list[jax.Device] | None = None) -> Mesh:
    """A `data` × `fsdp` mesh over all devices.

    Args:
        fsdp_devices: devices that share one copy of the parameters.
        devices: the devices to use; all of them when None.

    Raises:
        ConfigError: the number of devices is not a multiple of `fsdp_devices`.
    """
    devices = jax.devices() if devices is None else devices
    if fsdp_devices < 1 or len(devices) % fsdp_devices:
        raise ConfigError(
            f"--fsdp_devices: expected a divisor of the number of devices ({len(devices)}), got {fsdp_devices}"
        )
    return Mesh(np.array(devices).reshape(-1, fsdp_devices), ("data", "fsdp"))


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Refuses a global batch that cannot be split evenly over the mesh.

    Raises:
        ConfigError: names both numbers.
    """
    if batch_size < 1 or batch_size % mesh.size:
        raise ConfigError(
            f"--batch_size: expected a multiple of the number of devices ({mesh.size}), got {batch_size}; "
            "the batch size is global, all devices together"
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Placement of anything whose leading axis is the batch."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """Placement of anything every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(mesh: Mesh, tree: Any, min_bytes: int = MIN_SHARDED_BYTES) -> Any:
    """Placement of every leaf of a tree of parameters, moments or averages.

    Args:
        mesh: from `create_mesh`.
        tree: arrays or `jax.ShapeDtypeStruct`s.
        min_bytes: leaves below this size are replicated.

    Returns:
        The same tree with a `NamedSharding` per leaf.
    """
    return jax.tree.map(lambda leaf: _leaf_sharding(mesh, leaf, min_bytes), tree)


def _leaf_sharding(mesh: Mesh, leaf: Any, min_bytes: int) -> NamedSharding:
    fsdp = mesh.shape["fsdp"]
    if fsdp == 1 or leaf.size * leaf.dtype.itemsize < min_bytes:
        return replicated(mesh)
    divisible = [axis for axis, size in enumerate(leaf.shape) if size % fsdp == 0]
    if not divisible:
        return replicated(mesh)
    axis = max(divisible, key=lambda a: leaf.shape[a])
    return NamedSharding(mesh, PartitionSpec(*(["fsdp" if a == axis else None for a in range(leaf.ndim)])))


def put_batch(batch: Any, mesh: Mesh) -> Any:
    """Moves this process's part of a batch to its devices as one global array per leaf.

    Args:
        batch: host arrays; with several processes, each passes its own equal share of the global batch.
        mesh: from `create_mesh`.
    """
    placement = batch_sharding(mesh)
    if jax.process_count() == 1:
        # Leaf by leaf: older JAX rebuilds the tree around placeholders, which a type-checked class refuses.
        return jax.tree.map(lambda x: jax.device_put(x, placement), batch)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(placement, x), batch)


def whole_array(leaf: Any) -> np.ndarray:
    """A leaf on the host, also where several processes hold pieces of it; then all of them must come here."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable and not leaf.is_fully_replicated:
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return np.asarray(leaf)
