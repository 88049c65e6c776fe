"""The loss in chunks against one that holds all logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pistar_vf.models import token_loss
from pistar_vf.models.token_loss import sum_token_losses, token_logits

RNG = np.random.default_rng(0)
HIDDEN, TABLE = (jnp.asarray(RNG.standard_normal(shape), jnp.float32) for shape in ((3, 7, 5), (64, 5)))
TARGETS = jnp.asarray(RNG.integers(0, 64, (3, 7)))
COUNTED = jnp.asarray([[0, 0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]], bool)


def direct(hidden, table, counted=COUNTED):
    """From the logits of every position."""
    log_probs = jax.nn.log_softmax(jnp.einsum("bld,vd->blv", hidden, table))
    return -jnp.sum(jnp.where(counted, jnp.take_along_axis(log_probs, TARGETS[..., None], -1)[..., 0], 0.0))


@pytest.mark.parametrize("at_once", [1, 6, 9, 256], ids=["a position a row", "two", "three", "all"])
def test_loss_and_gradient_are_those_of_the_logits_of_every_position(monkeypatch, at_once):
    monkeypatch.setattr(token_loss, "_POSITIONS_AT_ONCE", at_once)
    run = jax.jit(jax.value_and_grad(sum_token_losses, argnums=(0, 1)))
    found, (hidden_grad, table_grad) = run(HIDDEN, TABLE, TARGETS, COUNTED)
    expected, expected_grad = jax.value_and_grad(direct)(HIDDEN, TABLE)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(hidden_grad, expected_grad, atol=1e-6)
    assert not np.any(table_grad)


def test_nothing_counted_is_zero_with_zero_gradients():
    run = jax.jit(jax.value_and_grad(sum_token_losses))
    total, grad = run(HIDDEN, TABLE, TARGETS, jnp.zeros_like(COUNTED))
    assert float(total) == 0.0
    assert not np.any(grad)


def test_the_logits_of_all_positions_never_exist(monkeypatch):
    monkeypatch.setattr(token_loss, "_POSITIONS_AT_ONCE", 6)
    program = str(jax.make_jaxpr(jax.grad(sum_token_losses))(HIDDEN, TABLE, TARGETS, COUNTED))
    assert "f32[3,2,64]" in program
    assert "f32[3,7,64]" not in program
    assert "f32[3,7,64]" in str(jax.make_jaxpr(jax.grad(direct))(HIDDEN, TABLE))


def test_infinite_hidden_states_behind_the_answers_do_not_spoil_the_loss():
    hidden = jnp.where(COUNTED[..., None], HIDDEN, jnp.nan)
    total, grad = jax.jit(jax.value_and_grad(sum_token_losses))(hidden, TABLE, TARGETS, COUNTED)
    assert float(total) == pytest.approx(float(direct(HIDDEN, TABLE)), rel=1e-6)
    assert np.all(np.isfinite(grad[COUNTED]))


def test_logits_of_bfloat16_states_are_float32_and_near():
    logits = token_logits(HIDDEN.astype(jnp.bfloat16), TABLE)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, token_logits(HIDDEN, TABLE), atol=0.05)
