"""One update of a small model: what the models of episodes and the towers of scenes share."""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from pistar_vf.typing import Params

_EMA, _LR, _WARMUP = 0.99, 1e-3, 100
CHUNK = 250
"""Updates of one call."""
Model: TypeAlias = tuple[Params, Any, Params, jax.Array]
"""Parameters, the optimiser's state, averaged parameters, and the key of all that is random."""


def optimizer(steps: int, end: float) -> optax.GradientTransformation:
    """AdamW over so many updates, down to a share of the highest rate."""
    schedule = optax.warmup_cosine_decay_schedule(0, _LR, min(_WARMUP, steps // 2), steps, end * _LR)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.99, weight_decay=1e-3))


def begin(tx: optax.GradientTransformation, params: Params, key: jax.Array) -> Model:
    """A model that has not learned yet."""
    return params, tx.init(params), jax.tree.map(jnp.copy, params), key


def descend(tx: optax.GradientTransformation, model: Model, gradient: Params) -> Model:
    """The model after an update."""
    params, state, ema, key = model
    updates, state = tx.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    return params, state, jax.tree.map(lambda old, new: _EMA * old + (1 - _EMA) * new, ema, params), key
