"""A small tower that has seen the world before: told where things are in scenes of no episode, and then frozen."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.typing import Float, Params, Shaped
from simulated import descent, keypoints
from simulated.truth import Truth

_AHEAD = 128
_NOISE, _LIGHT = 0.03, 0.1
"""Of pixels in [-1, 1], and of a whole picture: two codecs and no two recordings show one colour alike."""


@dataclasses.dataclass(frozen=True)
class TowerSize:
    """How much is trained.

    Attributes:
        members: towers, each from other random numbers.
        steps: updates, in whole chunks of `descent.CHUNK` where there are more.
        batch: pictures of an update.
    """

    members: int = 3
    steps: int = 6000
    batch: int = 128


class Towers:
    """Towers that are trained on scenes, and what they see in other pictures.

    Args:
        truth: of the scenes.
        pixels: of the scenes.
        size: of the training.
    """

    def __init__(self, truth: Truth, pixels: Shaped[np.ndarray, "t cameras h w 3"], size: TowerSize):
        self._size = size
        self._robot, self._places = _Scale.of(truth.observation[:, :4]), _Scale.of(places(truth))
        self._sizes = keypoints.Sizes(pixels.shape[1], 4, 6)
        self._tx = descent.optimizer(size.steps, 0.01)
        robot, wanted = self._robot.into(truth.observation[:, :4]), self._places.into(places(truth))
        self._params = self._trained((jnp.asarray(pixels), jnp.asarray(robot), jnp.asarray(wanted)))

    def places(self, truth: Truth, pixels: Shaped[np.ndarray, "t cameras h w 3"]) -> Float[np.ndarray, "m t 6"]:
        """Where every tower sees object and goal, metres; of `truth` it is told hand and gripper."""
        look = jax.jit(jax.vmap(self._look, in_axes=(0, None, None)))
        robot, found = self._robot.into(truth.observation[:, :4]), []
        for first in range(0, len(pixels), _AHEAD):
            rows = np.minimum(np.arange(first, first + _AHEAD), len(pixels) - 1)  # one shape, one program
            found.append(np.asarray(look(self._params, pixels[rows], robot[rows])))
        return self._places.back(np.concatenate(found, axis=1)[:, : len(pixels)]).astype(np.float32)

    def _trained(self, arrays: tuple[jax.Array, ...]) -> Params:
        size, keys = self._size, jax.random.split(jax.random.key(0), self._size.members)
        models = jax.jit(jax.vmap(lambda key: descent.begin(self._tx, keypoints.init(key, self._sizes), key)))(keys)
        train = jax.jit(self._chunk, donate_argnums=0)
        for first in range(0, size.steps, descent.CHUNK):
            models = train(models, jnp.int32(first), arrays)
        return models[2]

    def _chunk(self, models: Any, first: jax.Array, arrays: tuple[jax.Array, ...]) -> Any:
        update = jax.vmap(self._update, in_axes=(0, None, None))

        def body(models: Any, step: jax.Array) -> tuple[Any, None]:
            return update(models, step, arrays), None

        return jax.lax.scan(body, models, first + jnp.arange(min(descent.CHUNK, self._size.steps)))[0]

    def _update(self, model: Any, step: jax.Array, arrays: tuple[jax.Array, ...]) -> Any:
        params, _, _, key = model
        keys = jax.random.split(jax.random.fold_in(key, step), 3)
        drawn = jax.random.randint(keys[0], (self._size.batch,), 0, len(arrays[0]))
        gradient = jax.grad(self._loss)(params, [own[drawn] for own in arrays], keys[1:])
        return descent.descend(self._tx, model, gradient)

    def _loss(self, params: Params, batch: list[jax.Array], keys: jax.Array) -> jax.Array:
        pixels, robot, wanted = batch
        light = _LIGHT * jax.random.normal(keys[0], (*pixels.shape[:2], 1, 1, 3))
        shown = keypoints.scaled(pixels) + light + _NOISE * jax.random.normal(keys[1], pixels.shape)
        return jnp.abs(keypoints.perceptron(params["says"], keypoints.look(params, shown, robot)) - wanted).mean()

    def _look(self, params: Params, pixels: jax.Array, robot: jax.Array) -> jax.Array:
        return keypoints.perceptron(params["says"], keypoints.look(params, keypoints.scaled(pixels), robot))


def places(truth: Truth) -> Float[np.ndarray, "t 6"]:
    """Of object and goal, metres."""
    return np.concatenate([truth.observation[:, 4:7], truth.observation[:, 36:39]], axis=1)


@dataclasses.dataclass(frozen=True)
class _Scale:
    """To columns of mean 0 and standard deviation 1, and back."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray) -> "_Scale":
        return cls(columns.mean(0), columns.std(0) + 1e-6)

    def into(self, columns: np.ndarray) -> Float[np.ndarray, "t n"]:
        return ((columns - self.mean) / self.std).astype(np.float32)

    def back(self, columns: np.ndarray) -> Float[np.ndarray, "... n"]:
        return columns * self.std + self.mean
