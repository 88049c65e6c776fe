"""The loop: how many steps, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.steps import random_batch

from pistar_vf.errors import NonFiniteLossError
from pistar_vf.sharding import create_mesh
from pistar_vf.training.loop import train_loop
from pistar_vf.training.state import TrainState


def run(losses, num_train_steps, first_step=0, grad_norms=None):
    """Steps of a fake training step that reports the given losses; returns the numbers of the steps seen."""
    grad_norms = grad_norms or [1.0] * len(losses)

    def step(state, frozen, batch):
        number = int(state.step) - first_step
        scalars = {"loss": jnp.asarray(losses[number]), "grad_norm": jnp.asarray(grad_norms[number])}
        return state.replace(step=state.step + 1), scalars

    state = TrainState(jnp.asarray(first_step), {}, {}, ())
    batches = (random_batch(4, seed) for seed in range(100))
    return [result.step for result in train_loop(state, {}, step, batches, create_mesh(), num_train_steps)]


def test_it_runs_to_the_last_step():
    assert run([1.0] * 3, 3) == [1, 2, 3]


def test_it_goes_on_from_the_states_step():
    assert run([1.0] * 2, 7, first_step=5) == [6, 7]


def test_a_finished_state_runs_no_step():
    assert run([], 5, first_step=5) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_bad_loss_names_its_step_and_rows(bad, position):
    losses = [1.0, 1.0, 1.0]
    losses[position] = bad
    message = rf"step {position + 1}: expected a finite loss .* got loss {bad} .*In the batch: rows 0, 1, 2, 3\."
    with pytest.raises(NonFiniteLossError, match=message):
        run(losses, 3)


def test_a_bad_gradient_is_refused_too():
    with pytest.raises(NonFiniteLossError, match=r"step 2: .* gradient norm inf"):
        run([1.0] * 3, 3, grad_norms=[1.0, np.inf, 1.0])


def test_batches_are_on_the_device():
    seen = []

    def step(state, frozen, batch):
        seen.append(all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(batch)))
        return state.replace(step=state.step + 1), {"loss": jnp.asarray(0.0), "grad_norm": jnp.asarray(0.0)}

    state = TrainState(jnp.asarray(0), {}, {}, ())
    list(train_loop(state, {}, step, iter([random_batch(4)]), create_mesh(), 1))
    assert seen == [True]
