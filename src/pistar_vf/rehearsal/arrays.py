"""What JAX does with the training state, as far as it matters: which objects are trees, and what can be an array."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from pistar_vf.faults.finding import Finding, fault, fixed
from pistar_vf.faults.state_faults import SCRIPT
from pistar_vf.rehearsal.configs import run_functions
from pistar_vf.rehearsal.forgiving import open_any_dataset, take_any_folder
from pistar_vf.rehearsal.seen import raised_at, said
from pistar_vf.rehearsal.stand_in import StandIn
from pistar_vf.rehearsal.world import Halt, World

_MAPS = ("tree.map", "tree_map", "tree_util.tree_map")
_COUNTING = ("*.tqdm", "*.trange", "datetime.timedelta")
_NO_ARRAY, _NO_NUMBER = "as an abstract array", "unsupported type for timedelta"


class Arrays:
    """JAX's part of a world.

    Attributes:
        placed: whether a state was put on the devices.
        counted: whether a progress bar, or what it computes times with, was given its numbers.
    """

    def __init__(self, world: World):
        self._world = world
        self.placed = self.counted = False
        world.known |= {f"jax.{name}": self.map for name in _MAPS}
        world.known |= {
            f"jax.numpy.{name}": lambda value, *_, **__: self._as_array(value) for name in ("array", "asarray")
        }
        world.known |= {"jax.device_put": self.put, "jax.jit": self.compiled, "flax.nnx.jit": self.compiled}
        world.known |= {name: functools.partial(self.count, name) for name in _COUNTING}

    def map(self, function: Callable[..., Any], tree: Any, *rest: Any, **_: Any) -> Any:
        """`jax.tree.map`: what is no tree is a leaf."""
        self.placed |= _is_object(tree)
        if isinstance(tree, dict):
            return {key: self.map(function, each) for key, each in tree.items()}
        if isinstance(tree, tuple | list):
            parts = [self.map(function, each) for each in tree]
            return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
        if getattr(tree, "is_tree", False) and not isinstance(tree, StandIn):
            return self._map_fields(function, tree)
        if _is_object(tree) and getattr(tree, "is_strange", False):
            raise Halt
        return None if tree is None else function(tree, *rest)

    def _map_fields(self, function: Callable[..., Any], tree: Any) -> Any:
        made = object.__new__(type(tree))
        static = {each.name for each in dataclasses.fields(tree) if not each.metadata.get("pytree_node", True)}
        for name, value in vars(tree).items():
            object.__setattr__(made, name, value if name in static else self.map(function, value))
        return made

    def put(self, value: Any, *_: Any, **__: Any) -> Any:
        """`jax.device_put`: every leaf becomes an array."""
        return self.map(self._as_array, value)

    def _as_array(self, value: Any) -> Any:
        if _is_object(value):
            raise TypeError(f"Cannot interpret value of type {type(value)} {_NO_ARRAY}")
        return value if isinstance(value, StandIn | str) else StandIn(self._world, "jax.Array")

    def compiled(self, function: Any = None, *_: Any, **__: Any) -> Any:
        """`jax.jit`: every argument is a tree of arrays."""
        if function is None:
            return self.compiled

        @functools.wraps(function, updated=())
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*map(self._given, args), **{key: self._given(each) for key, each in kwargs.items()})

        return call

    def _given(self, value: Any) -> Any:
        """What a compiled function gets for a value."""
        return self.put(value) if _is_object(value) else value

    def count(self, name: str, *args: Any, **kwargs: Any) -> StandIn:
        """A progress bar: it computes with its numbers, which arrays are not."""
        self.counted = True
        if any(isinstance(each, StandIn) and each._path.startswith("jax.") for each in (*args, *kwargs.values())):
            raise TypeError(f"{_NO_NUMBER} seconds component: jaxlib.xla_extension.ArrayImpl")
        return StandIn(self._world, name)


def _is_object(value: Any) -> bool:
    """Whether a value is an object of a class of the checkout."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _run(world: World) -> tuple[Arrays, list[BaseException]]:
    """Runs the functions of the script until the state is on the devices."""
    arrays, errors = Arrays(world), []
    world.not_run += ["openpi.models", "openpi.training.weight_loaders"]
    take_any_folder(world)
    open_any_dataset(world)
    script = world.attempt(world.load_file, SCRIPT).value
    for error in () if script is None else run_functions(world, script):
        if error is not None:
            errors.append(error)
        if arrays.placed:
            break
    return arrays, errors


def state_leaf(world: World) -> Finding | None:
    """Whether the training state gets onto the devices."""
    arrays, errors = _run(world)
    wrong = [each for each in errors if isinstance(each, TypeError) and _NO_ARRAY in str(each)]
    if wrong:
        return fault(said(wrong[0]), raised_at(wrong[0]))
    unsure = any(isinstance(each, Halt) for each in errors)
    return fixed("the state was put on the devices", "") if arrays.placed and not unsure else None


def step_number(world: World) -> Finding | None:
    """Whether the progress bar gets numbers."""
    arrays, errors = _run(world)
    wrong = [each for each in errors if isinstance(each, TypeError) and _NO_NUMBER in str(each)]
    if wrong:
        return fault(said(wrong[0]), raised_at(wrong[0]))
    return fixed("the progress bar got numbers", "") if arrays.placed and arrays.counted else None
