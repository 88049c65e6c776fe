"""Run by test_step.py in a process with eight devices; prints every fsdp size that agrees with one device.

Its argument is an .npz file of one device's loss in the second step and of its first moments after that.
"""

import sys

import jax
import numpy as np

from pistar_vf.sharding import create_mesh, put_batch, replicated, state_sharding
from support.steps import create_setup, host, random_batch


def run(mesh, fsdp: int):
    setup = create_setup()
    placement = state_sharding(mesh, setup.state, min_bytes=0)
    state = jax.device_put(setup.state, placement)
    frozen = jax.device_put(setup.frozen, state_sharding(mesh, setup.frozen, min_bytes=0))
    split = [leaf for leaf in jax.tree.leaves(state) if leaf.addressable_shards[0].data.size < leaf.size]
    assert (len(split) > 20) == (fsdp > 1), len(split)
    assert all(leaf.addressable_shards[0].data.size * fsdp == leaf.size for leaf in split)
    step = jax.jit(setup.step, donate_argnums=0, out_shardings=(placement, replicated(mesh)))
    for seed in range(2):
        state, scalars = step(state, frozen, put_batch(random_batch(seed=seed), mesh))
    assert all(jax.tree.leaves(jax.tree.map(lambda leaf, want: leaf.sharding == want, state, placement)))
    return host((state, scalars))


def main() -> None:
    assert jax.device_count() == 8
    expected = np.load(sys.argv[1])
    for fsdp in (1, 2, 8):
        state, scalars = run(create_mesh(fsdp), fsdp)
        np.testing.assert_allclose(scalars["loss"], expected["loss"], rtol=1e-5)
        moments = state.opt_state[1][0].mu
        assert {"loss", *moments} == set(expected)
        for name, leaf in moments.items():
            np.testing.assert_allclose(leaf, expected[name], rtol=1e-3, atol=1e-5, err_msg=name)
        print(fsdp)


if __name__ == "__main__":
    main()
