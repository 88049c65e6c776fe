"""One of several processes that train a vector together: `joined_process.py [coordinator num_processes process_id]`."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.launch import be_quiet_unless_first, job_of_environment, job_of_flags
from pistar_vf.multihost import initialize_processes
from pistar_vf.sharding import create_mesh, put_batch, replicated


def main(words: list[str]) -> None:
    flags = (words[0], int(words[1]), int(words[2])) if words else (None, None, None)
    job = job_of_flags(*flags) or job_of_environment()
    be_quiet_unless_first(job)
    initialize_processes(job)
    print("losses:", json.dumps(losses()), flush=True)


def losses() -> list[float]:
    """Of four steps of least squares, on batches of which every process has its own part."""
    mesh, rng = create_mesh(), np.random.default_rng(0)
    index, count = jax.process_index(), jax.process_count()
    w = jax.device_put(np.zeros(3, np.float32), replicated(mesh))
    step = jax.jit(jax.value_and_grad(lambda w, x, y: jnp.mean((x @ w - y) ** 2)))
    found = []
    for _ in range(4):
        batch = rng.standard_normal((8, 4)).astype(np.float32)
        own = put_batch(np.split(batch, count)[index], mesh)
        loss, gradient = step(w, own[:, :3], own[:, 3])
        w = w - 0.1 * gradient
        found.append(float(loss))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
