"""One training step and one evaluation step, as pure functions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pistar_vf.batch import LanguageBatch, Observation, ValueBatch
from pistar_vf.categorical import cross_entropy, entropy, one_hot, two_hot
from pistar_vf.choices import LabelEncoding
from pistar_vf.models.language import language_loss
from pistar_vf.models.language_view import language_params, language_view
from pistar_vf.models.value_model import ValueFunction, scale_pixels
from pistar_vf.params import unflatten
from pistar_vf.training.augment import augment_images
from pistar_vf.training.state import TrainState
from pistar_vf.typing import Array, Float, Params, PRNGKeyArray

LossFn = Callable[[Params, Any, PRNGKeyArray], tuple[jax.Array, dict[str, jax.Array]]]
"""(flat parameters, batch, key) -> (loss, other scalars to log)."""
TrainStep = Callable[[TrainState, Params, Any], tuple[TrainState, dict[str, jax.Array]]]

_DROPOUT = 1
"""Number of the stream of keys for dropout; images and state noise split the step's key itself."""


def create_step(
    loss_fn: LossFn, tx: optax.GradientTransformation, schedule: optax.Schedule, *, seed: int, ema_decay: float
) -> TrainStep:
    """Builds one update; jit it with the state donated.

    Args:
        loss_fn: what to minimise.
        tx: optimiser of the trainable leaves.
        schedule: learning rate by step, for the log only.
        seed: each step derives its own key from it and the step number, so a resumed run draws what an uninterrupted
            one would have drawn.
        ema_decay: weight of the old average.

    Returns:
        A function (state, frozen, batch) -> (new state, scalars). Scalars are float32: loss, those of `loss_fn`,
        grad_norm, param_norm, learning_rate.
    """

    def step(state: TrainState, frozen: Params, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)

        def of_trainable(trainable: Params) -> tuple[jax.Array, dict[str, jax.Array]]:
            return loss_fn({**frozen, **trainable}, batch, key)

        (loss, parts), grads = jax.value_and_grad(of_trainable, has_aux=True)(state.trainable)
        updates, opt_state = tx.update(grads, state.opt_state, state.trainable)
        trainable = optax.apply_updates(state.trainable, updates)
        ema = jax.tree.map(lambda old, new: ema_decay * old + (1 - ema_decay) * new, state.ema, trainable)
        scalars = {
            "loss": loss,
            **parts,
            "grad_norm": optax.global_norm(grads),
            "param_norm": optax.global_norm(trainable),
            "learning_rate": jnp.asarray(schedule(state.step), jnp.float32),
        }
        return TrainState(state.step + 1, trainable, ema, opt_state), scalars

    return step


def value_loss_fn(
    value_function: ValueFunction,
    *,
    augment: bool,
    state_noise: float = 0.0,
    label_encoding: LabelEncoding = "two_hot",
) -> LossFn:
    """Cross-entropy of the value distribution.

    Args:
        value_function: the model.
        augment: whether images are augmented.
        state_noise: standard deviation of the Gaussian noise added to the normalised state.
        label_encoding: of the targets, see `masked_loss`.

    Returns:
        A loss in nats, with kl (the loss above the target's own entropy).
    """

    def loss_fn(params: Params, batch: ValueBatch, key: PRNGKeyArray) -> tuple[jax.Array, dict[str, jax.Array]]:
        key_images, key_state = jax.random.split(key)
        observation = prepare(batch.observation, key_images if augment else None)
        observation = _add_state_noise(key_state, observation, state_noise)
        logits = value_function.apply(unflatten(params), observation, jax.random.fold_in(key, _DROPOUT))
        loss, kl = masked_loss(logits, batch, value_function, label_encoding)
        return loss, {"kl": kl}

    return loss_fn


def language_loss_fn(value_function: ValueFunction) -> LossFn:
    """Mean next-token cross-entropy of the answers in a `LanguageBatch`, nats per token; `language_loss` by name."""
    view = language_view(value_function)

    def loss_fn(params: Params, batch: LanguageBatch, key: PRNGKeyArray) -> tuple[jax.Array, dict[str, jax.Array]]:
        dropout_key = jax.random.fold_in(key, _DROPOUT)
        own = language_params(unflatten(params))
        total, count = language_loss(view, own, batch, dropout_key)
        loss = total / jnp.clip(count, min=1)
        return loss, {"language_loss": loss}

    return loss_fn


def joint_loss_fn(value: LossFn, language: LossFn, weight: float) -> LossFn:
    """value loss + weight * language loss, of a `ValueBatch` that carries a `LanguageBatch`; both are scalars, too."""

    def loss_fn(params: Params, batch: ValueBatch, key: PRNGKeyArray) -> tuple[jax.Array, dict[str, jax.Array]]:
        value_loss, parts = value(params, batch, key)
        language_loss, language_parts = language(params, batch.language, key)
        return value_loss + weight * language_loss, {**parts, "value_loss": value_loss, **language_parts}

    return loss_fn


def prepare(observation: Observation, key: PRNGKeyArray | None) -> Observation:
    """Pixels to float32 [-1, 1], augmented when a key is given."""
    images = {name: scale_pixels(jnp.asarray(image)) for name, image in observation.images.items()}
    return observation.replace(images=images if key is None else augment_images(key, images))


def _add_state_noise(key: PRNGKeyArray, observation: Observation, std: float) -> Observation:
    if observation.state is None or std == 0.0:
        return observation
    state = jnp.asarray(observation.state)
    return observation.replace(state=state + std * jax.random.normal(key, state.shape, state.dtype))


def masked_loss(
    logits: Float[Array, "b atoms"],
    batch: ValueBatch,
    value_function: ValueFunction,
    label_encoding: LabelEncoding = "two_hot",
) -> tuple[Float[jax.Array, ""], Float[jax.Array, ""]]:
    """Mean cross-entropy and mean KL divergence from the target, over the frames that are not padding.

    The target is "two_hot", whose mean is the label, or "one_hot": all of it on the nearest atom.
    """
    target = (two_hot if label_encoding == "two_hot" else one_hot)(batch.target, value_function.config.support)
    loss = cross_entropy(logits, target)
    weight = (batch.frame >= 0).astype(jnp.float32)
    weight = weight / jnp.clip(jnp.sum(weight), min=1.0)
    return jnp.sum(loss * weight), jnp.sum((loss - entropy(target)) * weight)
