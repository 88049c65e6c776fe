"""Live checks of what computes and keeps the results: the default device, all devices together, checkpoints."""

import tempfile
from pathlib import Path

import numpy as np

_SIDE = 128
_TOLERANCES = {"float32": 1e-2, "bfloat16": 5e-2}
"""Relative to the largest element. A GPU or TPU multiplies float32 in fewer bits by default, hence 1e-2."""


def check_accelerator() -> str:
    """A compiled matrix product on the default device, in both precisions, beside numpy's."""
    import jax
    import jax.numpy as jnp

    left, right = np.random.default_rng(0).standard_normal((2, _SIDE, _SIDE))
    expected = left @ right
    told = []
    for dtype, tolerance in _TOLERANCES.items():
        product = jax.jit(jnp.matmul)(jnp.asarray(left, dtype), jnp.asarray(right, dtype))
        error = np.abs(np.asarray(product, np.float64) - expected).max() / np.abs(expected).max()
        if not error <= tolerance:
            raise ValueError(f"a matrix product in {dtype} is off by {error:.1e}, expected at most {tolerance:g}")
        told.append(f"{dtype} within {error:.0e}")
    return f"matrix products as numpy's: {', '.join(told)}"


def check_all_devices() -> str:
    """A sum over an array that lies on all devices, as a batch does in training."""
    import jax
    import jax.numpy as jnp

    from pistar_vf.sharding import batch_sharding, create_mesh

    mesh = create_mesh()
    numbers = np.arange(4 * mesh.size, dtype=np.float32)
    total = jax.jit(jnp.sum)(jax.device_put(numbers, batch_sharding(mesh)))
    if float(total) != numbers.sum():
        raise ValueError(f"a sum over {mesh.size} devices gives {float(total)}, expected {numbers.sum()}")
    return f"a sum over {mesh.size} device{'s' * (mesh.size != 1)} is right"


def check_checkpoint() -> str:
    """Writes a checkpoint of arrays on all devices, split and copied as in training, and reads it back."""
    import jax

    from pistar_vf.checkpoints.orbax_tree import read_tree, write_tree
    from pistar_vf.sharding import create_mesh, state_sharding

    # Both divide evenly: every device then writes its part, also of what all of them hold, and some orbax fail at that.
    mesh = create_mesh(jax.device_count())
    arrays = {"large": np.arange(64 * mesh.size, dtype=np.float32), "small": np.arange(4 * mesh.size, dtype=np.float32)}
    places = state_sharding(mesh, arrays, min_bytes=arrays["large"].nbytes)
    shapes = {name: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=places[name]) for name, a in arrays.items()}
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder) / "checkpoint", jax.device_put(arrays, places))
        back = read_tree(Path(folder) / "checkpoint", shapes)
    for name, array in back.items():
        if not np.array_equal(np.asarray(array), arrays[name]):
            raise ValueError(f"the {name} array came back changed")
    return f"{len(arrays)} arrays written and read back"
