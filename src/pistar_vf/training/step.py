"""One training step and one evaluation step, as pure functions."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from pistar_vf.batch import Observation, ValueBatch
from pistar_vf.categorical import cross_entropy, entropy, two_hot
from pistar_vf.models.value_model import ValueFunction, scale_pixels
from pistar_vf.params import unflatten
from pistar_vf.training.augment import augment_images
from pistar_vf.training.state import TrainState
from pistar_vf.typing import Array, Float, Params, PRNGKeyArray

TrainStep = Callable[[TrainState, Params, ValueBatch], tuple[TrainState, dict[str, jax.Array]]]


def create_train_step(
    value_function: ValueFunction,
    tx: optax.GradientTransformation,
    schedule: optax.Schedule,
    *,
    seed: int,
    ema_decay: float,
    augment: bool,
    state_noise: float = 0.0,
) -> TrainStep:
    """Builds the step; jit it with the state donated.

    Args:
        value_function: the model.
        tx: optimiser of the trainable leaves.
        schedule: learning rate by step, for the log only.
        seed: of the augmentations; each step derives its own key from it and the step number, so a resumed run
            draws what an uninterrupted one would have drawn.
        ema_decay: weight of the old average.
        augment: whether images are augmented.
        state_noise: standard deviation of the Gaussian noise added to the normalised state.

    Returns:
        A function (state, frozen, batch) -> (new state, scalars). Scalars are float32: loss (nats), kl (loss above
        the target's own entropy), grad_norm, param_norm, learning_rate.
    """

    def loss_fn(trainable: Params, frozen: Params, batch: ValueBatch) -> tuple[jax.Array, jax.Array]:
        logits = value_function.apply(unflatten({**frozen, **trainable}), batch.observation)
        return masked_loss(logits, batch, value_function)

    def train_step(state: TrainState, frozen: Params, batch: ValueBatch) -> tuple[TrainState, dict[str, jax.Array]]:
        key_images, key_state = jax.random.split(jax.random.fold_in(jax.random.key(seed), state.step))
        observation = prepare(batch.observation, key_images if augment else None)
        batch = batch.replace(observation=_add_state_noise(key_state, observation, state_noise))
        (loss, kl), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.trainable, frozen, batch)
        updates, opt_state = tx.update(grads, state.opt_state, state.trainable)
        trainable = optax.apply_updates(state.trainable, updates)
        ema = jax.tree.map(lambda old, new: ema_decay * old + (1 - ema_decay) * new, state.ema, trainable)
        scalars = {
            "loss": loss,
            "kl": kl,
            "grad_norm": optax.global_norm(grads),
            "param_norm": optax.global_norm(trainable),
            "learning_rate": jnp.asarray(schedule(state.step), jnp.float32),
        }
        return TrainState(state.step + 1, trainable, ema, opt_state), scalars

    return train_step


def prepare(observation: Observation, key: PRNGKeyArray | None) -> Observation:
    """Pixels to float32 [-1, 1], augmented when a key is given."""
    images = {name: scale_pixels(image) for name, image in observation.images.items()}
    return observation.replace(images=images if key is None else augment_images(key, images))


def _add_state_noise(key: PRNGKeyArray, observation: Observation, std: float) -> Observation:
    if observation.state is None or std == 0.0:
        return observation
    state = jnp.asarray(observation.state)
    return observation.replace(state=state + std * jax.random.normal(key, state.shape, state.dtype))


def masked_loss(
    logits: Float[Array, "b atoms"], batch: ValueBatch, value_function: ValueFunction
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean cross-entropy and mean KL divergence from the two-hot target, over the frames that are not padding."""
    target = two_hot(batch.target, value_function.config.support)
    loss = cross_entropy(logits, target)
    weight = (batch.frame >= 0).astype(jnp.float32)
    weight = weight / jnp.clip(jnp.sum(weight), min=1.0)
    return jnp.sum(loss * weight), jnp.sum((loss - entropy(target)) * weight)


def create_logits_fn(value_function: ValueFunction) -> Callable[[Params, Params, Observation], jax.Array]:
    """A function (part, frozen, observation) -> logits, without augmentation; jit it."""

    def logits(part: Params, frozen: Params, observation: Observation) -> Float[Array, "b atoms"]:
        return value_function.apply(unflatten({**frozen, **part}), prepare(observation, None))

    return logits
