"""One training step: its loss, its average, its donation, and the same on eight devices."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.places import SUPPORT, environment
from support.steps import NUM_STEPS, OPTIMIZER, VALUE_FUNCTION, create_setup, host, random_batch, random_params

from pistar_vf.params import unflatten
from pistar_vf.training.optimizer import create_schedule
from pistar_vf.training.step import masked_loss

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def history():
    """(the states after 0, 1, 2, 3 steps on the host, the scalars of each step, the donated first state)."""
    setup = create_setup()
    state, states, scalars = setup.state, [host(setup.state)], []
    for number in range(3):
        state, values = setup.step(state, setup.frozen, random_batch(seed=number))
        states.append(host(state))
        scalars.append(host(values))
    return states, scalars, setup.state


def test_the_average_is_numpys(history):
    states, *_ = history
    for name, average in states[0].ema.items():
        for state in states[1:]:
            average = 0.9 * average + 0.1 * state.trainable[name]
        np.testing.assert_allclose(states[3].ema[name], average, rtol=1e-5, atol=1e-7, err_msg=name)


def test_steps_are_counted_and_everything_trained_moves(history):
    states, *_ = history
    assert [int(state.step) for state in states] == [0, 1, 2, 3]
    still = [name for name, leaf in states[0].trainable.items() if np.array_equal(leaf, states[1].trainable[name])]
    assert still == []


def test_the_old_state_is_donated(history):
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(history[2]))


def test_the_scalars_are_those_of_the_definition(history):
    """Loss and divergence from the logits in numpy; the learning rate from the schedule; the norm from optax."""
    states, scalars, _ = history
    batch = random_batch(seed=0)
    logits = np.asarray(jax.jit(VALUE_FUNCTION.apply)(unflatten(random_params()), batch.observation), np.float64)
    log_probs = logits - logits.max(-1, keepdims=True)
    log_probs -= np.log(np.exp(log_probs).sum(-1, keepdims=True))
    position = (batch.target.astype(np.float64) + 1) * 200
    lower = np.floor(position).astype(int)
    above = position - lower
    own = np.arange(8)
    loss = -((1 - above) * log_probs[own, lower] + above * log_probs[own, lower + 1])
    entropy = -(above * np.log(above) + (1 - above) * np.log(1 - above))
    assert scalars[0]["loss"] == pytest.approx(loss.mean(), rel=1e-4)
    assert scalars[0]["kl"] == pytest.approx((loss - entropy).mean(), rel=1e-4)
    assert scalars[1]["learning_rate"] == pytest.approx(float(create_schedule(OPTIMIZER, NUM_STEPS)(1)), rel=1e-6)
    assert scalars[0]["param_norm"] == pytest.approx(float(optax.global_norm(states[1].trainable)), rel=1e-5)
    assert scalars[0]["grad_norm"] > 0


def test_padded_rows_do_not_count():
    batch, logits = random_batch(4), jnp.asarray(np.random.default_rng(0).standard_normal((4, 201)), jnp.float32)
    padded = batch.replace(frame=np.array([5, -1, 7, -1], np.int32))
    pair = batch.replace(target=batch.target[[0, 2]], frame=batch.frame[[0, 2]])
    expected = masked_loss(logits[jnp.array([0, 2])], pair, VALUE_FUNCTION)
    np.testing.assert_allclose(masked_loss(logits, padded, VALUE_FUNCTION), expected, rtol=1e-6)


def test_a_batch_of_padding_has_no_loss():
    batch = random_batch(2).replace(frame=np.array([-1, -1], np.int32))
    assert [float(x) for x in masked_loss(jnp.ones((2, 201)), batch, VALUE_FUNCTION)] == [0.0, 0.0]


def test_eight_devices_compute_what_one_does(history, tmp_path):
    """fsdp 1, 2 and 8 over eight forced host devices, every divisible leaf really split; see eight_devices.py."""
    states, scalars, _ = history
    np.savez(tmp_path / "one_device.npz", loss=scalars[1]["loss"], **states[2].opt_state[1][0].mu)
    env = environment(
        JAX_PLATFORMS="cpu",
        XLA_FLAGS="--xla_force_host_platform_device_count=8",
        JAX_DISABLE_MOST_OPTIMIZATIONS="1",
    )
    words = [sys.executable, SUPPORT / "eight_devices.py", tmp_path / "one_device.npz"]
    run = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["1", "2", "8"]
