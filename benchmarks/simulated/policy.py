"""Behaviour cloning conditioned on a label: an MLP from observation and indicator to action, several seeds at once.

The indicator is "positive", "negative" or absent, one-hot; it is dropped in 30 % of the training examples, and
"positive" when the policy acts, as in RECAP without guidance.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pistar_vf.typing import Float, Int

ABSENT, NEGATIVE, POSITIVE = 0, 1, 2
_DROPOUT, _LAYERS = 0.3, 3

Params = list[tuple[jax.Array, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Training:
    """How policies are trained."""

    num_steps: int = 3000
    hidden: int = 128
    batch_size: int = 128
    peak_lr: float = 1e-3
    weight_decay: float = 1e-4
    observation_noise: float = 0.02
    """Added to the normalised observation."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """One trained policy.

    Attributes:
        layers: weight and bias of each layer.
        mean: of the observations it was trained on.
        scale: their standard deviation.
        indicator: what it is told, `POSITIVE` or `ABSENT`.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    indicator: int

    def act(self, observation: Float[np.ndarray, " d"]) -> Float[np.ndarray, " a"]:
        """The action, in [-1, 1]."""
        told = [float(self.indicator == NEGATIVE), float(self.indicator == POSITIVE)]
        hidden = np.append((observation - self.mean) / self.scale, told).astype(np.float32)
        for weight, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ weight + bias, 0)
        weight, bias = self.layers[-1]
        return np.clip(hidden @ weight + bias, -1, 1)


def train_policies(
    observation: Float[np.ndarray, "t d"],
    action: Float[np.ndarray, "t a"],
    indicator: Int[np.ndarray, " t"],
    seeds: Sequence[int],
    training: Training,
) -> list[Policy]:
    """One policy per seed, on the same frames.

    Args:
        observation: of every frame.
        action: of every frame.
        indicator: `ABSENT`, `NEGATIVE` or `POSITIVE`; absent everywhere for plain cloning.
        seeds: of initialisation and batches.
        training: the settings.
    """
    mean, std = observation.mean(0), observation.std(0)
    scale = np.where(std < 1e-4, 1.0, std)
    frames = jnp.asarray((observation - mean) / scale, jnp.float32), jnp.asarray(np.clip(action, -1, 1), jnp.float32)
    told = jax.nn.one_hot(jnp.asarray(indicator), 3)[:, 1:]
    train = jax.jit(lambda seed: _train_one(seed, *frames, told, training))
    conditioned = POSITIVE if (indicator != ABSENT).any() else ABSENT
    found = []
    for seed in seeds:
        layers = tuple((np.asarray(weight), np.asarray(bias)) for weight, bias in train(seed))
        found.append(Policy(layers, mean, scale, conditioned))
    return found


def _train_one(
    seed: jax.Array, observation: jax.Array, action: jax.Array, told: jax.Array, training: Training
) -> Params:
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    schedule = optax.cosine_decay_schedule(training.peak_lr, training.num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=training.weight_decay))
    params = _init(key_init, observation.shape[1] + told.shape[1], training.hidden, action.shape[1])

    def loss_fn(params: Params, rows: jax.Array, kept: jax.Array, noise: jax.Array) -> jax.Array:
        inputs = jnp.concatenate([observation[rows] + noise, told[rows] * kept[:, None]], axis=1)
        return jnp.mean((_forward(params, inputs) - action[rows]) ** 2)

    def step(carry: tuple, number: jax.Array) -> tuple[tuple, None]:
        params, state = carry
        key_rows, key_drop, key_noise = jax.random.split(jax.random.fold_in(key_steps, number), 3)
        size = training.batch_size
        rows = jax.random.randint(key_rows, (size,), 0, len(observation))
        kept = jax.random.bernoulli(key_drop, 1 - _DROPOUT, (size,))
        noise = training.observation_noise * jax.random.normal(key_noise, (size, observation.shape[1]))
        gradient = jax.grad(loss_fn)(params, rows, kept, noise)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(training.num_steps))
    return params


def _init(key: jax.Array, num_inputs: int, hidden: int, num_actions: int) -> Params:
    sizes = [num_inputs, *[hidden] * (_LAYERS - 1), num_actions]
    keys = jax.random.split(key, _LAYERS)
    gains = [1.0] * (_LAYERS - 1) + [0.1]
    return [
        (gain * jax.random.normal(key, (a, b)) * (2 / a) ** 0.5, jnp.zeros(b))
        for key, a, b, gain in zip(keys, sizes[:-1], sizes[1:], gains)
    ]


def _forward(params: Params, inputs: jax.Array) -> jax.Array:
    for weight, bias in params[:-1]:
        inputs = jax.nn.relu(inputs @ weight + bias[None, :])
    return inputs @ params[-1][0] + params[-1][1][None, :]
