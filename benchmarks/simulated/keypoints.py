"""A small model of pictures, state and task that is trained from scratch: where things are, then what that is worth.

Per camera three convolutions and a spatial softmax give the places of `KEYPOINTS` things; a perceptron makes values of
them. A second one says what will be done and where the robot will be, which needs the same places and is known of every
frame, however its episode ended.

References:
    Levine et al., "End-to-end training of deep visuomotor policies", arXiv 1504.00702 (spatial softmax).
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp

from pistar_vf.categorical import Support
from pistar_vf.models.keypoint_tower import soft_argmax
from pistar_vf.typing import Float, Params, PRNGKeyArray, UInt8

KEYPOINTS, CHANNELS, HIDDEN = 32, 32, 256
SUPPORT = Support()
_KERNELS = (5, 3, 3, 3)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Numbers of one frame.

    Attributes:
        cameras: of it.
        told: of state and task together.
        said: that the second perceptron says.
    """

    cameras: int
    told: int
    said: int


def init(key: PRNGKeyArray, sizes: Sizes) -> Params:
    """Random parameters."""
    keys = iter(jax.random.split(key, 64))
    channels = (3, CHANNELS, CHANNELS, CHANNELS, KEYPOINTS)

    def layers(widths: tuple[int, ...], last: float) -> list:
        pairs = list(itertools.pairwise(widths))
        return [_layer(next(keys), a, b, last if i == len(pairs) - 1 else 1.0) for i, (a, b) in enumerate(pairs)]

    def camera() -> list:
        return [_layer(next(keys), k * k * a, b) for k, a, b in zip(_KERNELS, channels, channels[1:])]

    seen = sizes.cameras * KEYPOINTS * 2 + sizes.told
    return {
        "cameras": [camera() for _ in range(sizes.cameras)],
        "value": layers((seen, HIDDEN, HIDDEN, SUPPORT.num_atoms), 0.1),
        "says": layers((seen, HIDDEN, HIDDEN, sizes.said), 0.1),
    }


def look(params: Params, pixels: Float[jax.Array, "b cameras h w 3"], told: Float[jax.Array, "b n"]) -> jax.Array:
    """Places of things in [-1, 1] (down, right), camera by camera, and what is told: [b, 2 * K * cameras + n]."""
    places = [_places(own, pixels[:, number]) for number, own in enumerate(params["cameras"])]
    return jnp.concatenate([*places, told], axis=-1)


def scaled(pixels: UInt8[jax.Array, "..."]) -> Float[jax.Array, "..."]:
    """To [-1, 1]."""
    return pixels.astype(jnp.float32) / 127.5 - 1.0


def perceptron(
    layers: list, seen: Float[jax.Array, "b n"], dropout: jax.Array | float = 0.0, key: PRNGKeyArray | None = None
) -> Float[jax.Array, "b m"]:
    """Without a key nothing is dropped."""
    for number, layer in enumerate(layers[:-1]):
        seen = jax.nn.relu(_affine(layer, seen))
        if key is not None:
            kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - dropout, seen.shape)
            seen = seen * kept / (1 - dropout)
    return _affine(layers[-1], seen)


def _places(layers: list, x: Float[jax.Array, "b h w 3"]) -> Float[jax.Array, "b n"]:
    x = x.astype(jnp.bfloat16 if jax.default_backend() == "gpu" else jnp.float32)
    first, second, third, last = layers
    x = jax.nn.relu(_norm(_convolution(first, x, _KERNELS[0], 2)))
    x = jax.nn.relu(_norm(_convolution(second, x, _KERNELS[1], 2)))
    x = x + jax.nn.relu(_norm(_convolution(third, x, _KERNELS[2], 1)))
    return soft_argmax(_convolution(last, x, _KERNELS[3], 1).astype(jnp.float32))


def _convolution(layer: tuple, x: jax.Array, kernel: int, stride: int) -> jax.Array:
    """As one product: under `vmap` over weights, a convolution by the library would be one of many groups, and slow."""
    pad = kernel // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    span = stride * (-(-x.shape[1] // stride) - 1) + 1
    shifted = [padded[:, i : i + span : stride, j : j + span : stride] for i in range(kernel) for j in range(kernel)]
    return _affine(layer, jnp.concatenate(shifted, axis=-1))


def _affine(layer: tuple, x: jax.Array) -> jax.Array:
    weight, bias = (leaf.astype(x.dtype) for leaf in layer)
    return x @ weight + bias.reshape((1,) * (x.ndim - 1) + (-1,))


def _norm(x: jax.Array) -> jax.Array:
    wide = x.astype(jnp.float32)
    centred = wide - wide.mean(-1, keepdims=True)
    return (centred * jax.lax.rsqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-5)).astype(x.dtype)


def _layer(key: PRNGKeyArray, inputs: int, outputs: int, gain: float = 1.0) -> tuple[jax.Array, jax.Array]:
    return gain * jax.random.normal(key, (inputs, outputs)) * (2 / inputs) ** 0.5, jnp.zeros(outputs)
