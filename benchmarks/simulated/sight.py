"""Many small models of pictures at once, by folds: how much of a scene is there to be learned from so few episodes?"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.categorical import cross_entropy, expected_value, two_hot
from pistar_vf.recipes.lambda_returns import Ends
from pistar_vf.typing import Bool, Float, Params, Shaped
from simulated import descent, keypoints
from simulated.judges import paper_units
from simulated.labels import outcomes_of
from simulated.tower import places
from simulated.truth import Truth

HORIZONS = (5, 10, 20, 40)
"""Frames ahead of which the robot's state is foretold."""
_AHEAD = 128
_STATE_NOISE, _SHIFT = 0.3, 4


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the models are trained on.

    Attributes:
        foresight: weight of foretelling actions and states to come.
        places: weight of the true places of object and goal, which no dataset has: what sight could be.
        mixing: of features and targets of two frames, at most half and half; 0 for none.
        dropout: in the value's perceptron.
        decay: λ of the targets, looked at every 250 updates from the 500th; 1 for what episodes came to.
        values_shape_sight: whether the value's gradient reaches the convolutions.
        episodes: how many of them there are to learn from, from the first on.
        tower: whether values are learned from where a tower sees object and goal, and no picture; see `tower`.
    """

    foresight: float = 0.0
    places: float = 0.0
    mixing: float = 0.0
    dropout: float = 0.0
    decay: float = 1.0
    values_shape_sight: bool = True
    episodes: int = 100
    tower: bool = False


_CALM: dict[str, Any] = {"mixing": 1.0, "dropout": 0.2}
RECIPES = {
    "values alone": Recipe(),
    "values alone, mixed": Recipe(**_CALM),
    "foresight": Recipe(foresight=1.0),
    "foresight, mixed": Recipe(foresight=1.0, **_CALM),
    "foresight, mixed, TD": Recipe(foresight=1.0, decay=0.9, **_CALM),
    "sight by foresight alone, mixed": Recipe(foresight=1.0, values_shape_sight=False, **_CALM),
    "told the places, mixed": Recipe(places=3.0, **_CALM),
    "foresight, mixed, 50 episodes": Recipe(foresight=1.0, episodes=50, **_CALM),
    "told the places, mixed, 50 episodes": Recipe(places=3.0, episodes=50, **_CALM),
    "foresight, mixed, 200 episodes": Recipe(foresight=1.0, episodes=200, **_CALM),
    "told the places, mixed, 200 episodes": Recipe(places=3.0, episodes=200, **_CALM),
    "a tower's places, mixed": Recipe(tower=True, **_CALM),
    "a tower's places, mixed, TD": Recipe(tower=True, decay=0.9, **_CALM),
}
"""All of 100 episodes unless it says otherwise; "mixed" is with mixing and dropout."""


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is trained.

    Attributes:
        folds: of the episodes.
        members: models of each fold, whose mean is V.
        steps: updates, in whole chunks of `descent.CHUNK` where there are more.
        batch: frames of an update.
    """

    folds: int = 5
    members: int = 3
    steps: int = 1000
    batch: int = 64


class Sight:
    """The frames of some episodes, and models that are trained on them.

    Args:
        truth: of all episodes.
        pixels: of all frames; of no camera where others have looked already.
        size: of the training.
        seen: of all frames, what a tower saw in them.
    """

    def __init__(
        self,
        truth: Truth,
        pixels: Shaped[np.ndarray, "t cameras h w 3"],
        size: Size,
        seen: Float[np.ndarray, "t n"] | None = None,
    ):
        self._truth, self._size = truth, size
        normaliser, units = paper_units(truth)
        self._ends = Ends(tuple(truth.tasks[truth.task].tolist()), outcomes_of(truth), normaliser)
        self._target = jnp.asarray(units.target, jnp.float32)
        self._frames = Frames(
            pixels=jnp.asarray(pixels),
            state=_normalised(np.concatenate([truth.observation[:, :4], *([] if seen is None else [seen])], axis=1)),
            task=jnp.asarray(np.eye(len(truth.tasks), dtype=np.float32)[truth.task_of_frames]),
            said=jnp.concatenate([_foretold(truth), _places(truth)], axis=1),
        )
        self._fold = np.random.default_rng(0).permutation(len(truth.lengths)) % size.folds
        self._programs = _Programs(self._frames, size, _foretold(truth).shape[1])

    def values(self, recipe: Recipe, seed: int = 0) -> Float[np.ndarray, " t"]:
        """V of all frames, each by the models of the fold that has not seen its episode."""
        size, programs = self._size, self._programs
        owners = np.repeat(np.arange(size.folds), size.members)
        rows = _padded([np.flatnonzero(self._truth.layout.spread(self._learned(recipe, fold))) for fold in owners])
        models = programs.start(jax.random.split(jax.random.key(seed), len(owners)))
        target = jnp.broadcast_to(self._target, (len(owners), len(self._target)))
        for step in range(0, size.steps, descent.CHUNK):
            if recipe.decay < 1 and step >= 2 * descent.CHUNK:
                target = jnp.asarray(self._returns(programs.values(models), recipe.decay))
            models = programs.train(models, target, rows, jnp.int32(step), _numbers(recipe))
        found = np.asarray(programs.values(models)).reshape(size.folds, size.members, -1).mean(1)
        return found[self._truth.layout.spread(self._fold), np.arange(found.shape[1])]

    def _learned(self, recipe: Recipe, fold: int) -> Bool[np.ndarray, " e"]:
        number = np.arange(len(self._fold))
        return (self._fold != fold) & (number < recipe.episodes)

    def _returns(self, values: Float[jax.Array, "m t"], decay: float) -> Float[np.ndarray, "m t"]:
        lengths = self._truth.lengths
        return np.stack([self._ends.returns(own, lengths, decay) for own in np.asarray(values, np.float64)])


@dataclasses.dataclass(frozen=True)
class Frames:
    """On the device.

    Attributes:
        pixels: uint8.
        state: of the robot, and what was seen; normalised.
        task: one-hot.
        said: what the second perceptron is to say: what is foretold, then places.
    """

    pixels: Shaped[jax.Array, "t cameras h w 3"]
    state: Float[jax.Array, "t s"]
    task: Float[jax.Array, "t tasks"]
    said: Float[jax.Array, "t m"]


class _Programs:
    """Compiled once for all recipes: their numbers are inputs."""

    def __init__(self, frames: Frames, size: Size, num_foretold: int):
        self._frames, self._size, self._foretold = frames, size, num_foretold
        told = frames.state.shape[1] + frames.task.shape[1]
        self._sizes = keypoints.Sizes(frames.pixels.shape[1], told, frames.said.shape[1])
        self._tx = descent.optimizer(size.steps, 0.03)
        arrays = (frames.pixels, frames.state, frames.task, frames.said)
        train, values = jax.jit(self._train, donate_argnums=0), jax.jit(self._values)
        self.start = jax.jit(jax.vmap(self._start))
        # As arguments: closed over, hundreds of megabytes of pixels would be constants of the program.
        self.train = lambda *args: train(*args, arrays)
        self.values = lambda models: values(models, arrays)

    def _start(self, key: jax.Array) -> descent.Model:
        return descent.begin(self._tx, keypoints.init(key, self._sizes), key)

    def _train(self, models: Any, target: jax.Array, rows: Any, first: jax.Array, numbers: Any, arrays: Any) -> Any:
        update = jax.vmap(self._update, in_axes=(0, 0, 0, None, None, None))

        def body(models: Any, step: jax.Array) -> tuple[Any, None]:
            return update(models, target, rows, step, numbers, arrays), None

        return jax.lax.scan(body, models, first + jnp.arange(min(descent.CHUNK, self._size.steps)))[0]

    def _update(self, model: Any, target: jax.Array, rows: Any, step: jax.Array, numbers: Any, arrays: Any) -> Any:
        params, _, _, key = model
        keys = jax.random.split(jax.random.fold_in(key, step), 6)
        own, count = rows
        drawn = own[jax.random.randint(keys[0], (self._size.batch,), 0, count)]
        gradient = jax.grad(self._loss)(params, drawn, target[drawn], keys[1:], numbers, arrays)
        return descent.descend(self._tx, model, gradient)

    def _loss(self, params: Params, drawn: Any, target: jax.Array, keys: Any, numbers: Any, arrays: Any) -> jax.Array:
        pixels, state, task, said = arrays
        foresight, places, mixing, dropout, shapes = numbers
        noisy = state[drawn] + _STATE_NOISE * jax.random.normal(keys[0], state[drawn].shape)
        shown = shifted(keys[1], pixels[drawn], _SHIFT)
        seen = keypoints.look(params, keypoints.scaled(shown), jnp.concatenate([noisy, task[drawn]], axis=1))
        error = (keypoints.perceptron(params["says"], seen) - said[drawn]) ** 2
        weighed = shapes * seen + (1 - shapes) * jax.lax.stop_gradient(seen)
        share = mixing * jax.random.uniform(keys[2], (len(drawn), 1)) / 2
        mixed = (1 - share) * weighed + share * jnp.roll(weighed, 1, axis=0)
        wanted = two_hot(target, keypoints.SUPPORT)
        wanted = (1 - share) * wanted + share * jnp.roll(wanted, 1, axis=0)
        logits = keypoints.perceptron(params["value"], mixed, dropout, keys[3])
        n = self._foretold
        return cross_entropy(logits, wanted).mean() + foresight * error[:, :n].mean() + places * error[:, n:].mean()

    def _values(self, models: Any, arrays: Any) -> Float[jax.Array, "m t"]:
        pixels, state, task, _ = arrays
        count = len(state)
        chunks = jnp.minimum(jnp.arange(-(-count // _AHEAD) * _AHEAD), count - 1).reshape(-1, _AHEAD)

        def of_model(params: Params, rows: jax.Array) -> jax.Array:
            told = jnp.concatenate([state[rows], task[rows]], axis=1)
            seen = keypoints.look(params, keypoints.scaled(pixels[rows]), told)
            return expected_value(keypoints.perceptron(params["value"], seen), keypoints.SUPPORT)

        def body(_: None, rows: jax.Array) -> tuple[None, jax.Array]:
            return None, jax.vmap(of_model, in_axes=(0, None))(models[2], rows)

        found = jax.lax.scan(body, None, chunks)[1]
        return jnp.moveaxis(found, 0, 1).reshape(found.shape[1], -1)[:, :count]


def shifted(key: jax.Array, pixels: Shaped[jax.Array, "b cameras h w 3"], most: int) -> jax.Array:
    """Every picture moved by up to so many pixels, its edge repeated where it moved away from."""
    edges = jnp.pad(pixels, ((0, 0), (0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    offsets = jax.random.randint(key, (*pixels.shape[:2], 2), 0, 2 * most + 1)

    def cut(picture: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(picture, (start[0], start[1], 0), pixels.shape[2:])

    return jax.vmap(jax.vmap(cut))(edges, offsets)


def _foretold(truth: Truth) -> Float[jax.Array, "t n"]:
    """The action, and how the state will have changed after each horizon or at the episode's end."""
    state = np.asarray(_normalised(truth.observation[:, :4]))
    last = truth.layout.spread(truth.layout.last_frames)
    ahead = [state[np.minimum(np.arange(len(state)) + frames, last)] - state for frames in HORIZONS]
    return _normalised(np.concatenate([truth.action, *ahead], axis=1))


def _places(truth: Truth) -> Float[jax.Array, "t 6"]:
    """Of object and goal."""
    return _normalised(places(truth))


def _normalised(columns: np.ndarray) -> jax.Array:
    return jnp.asarray((columns - columns.mean(0)) / (columns.std(0) + 1e-6), jnp.float32)


def _padded(rows: list[np.ndarray]) -> tuple[jax.Array, jax.Array]:
    """As one array, each repeated to the longest one's length, and how many there are of each."""
    longest = max(len(own) for own in rows)
    return jnp.asarray([np.resize(own, longest) for own in rows]), jnp.asarray([len(own) for own in rows])


def _numbers(recipe: Recipe) -> tuple[jax.Array, ...]:
    own = (recipe.foresight, recipe.places, recipe.mixing, recipe.dropout, float(recipe.values_shape_sight))
    return tuple(jnp.float32(number) for number in own)
