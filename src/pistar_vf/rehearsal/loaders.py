"""What the loader that a script gets can do: its size, and what it yields."""

import functools
import traceback
import types
from typing import Any

from pistar_vf.faults.code import module_name
from pistar_vf.faults.finding import Finding, fault, fixed
from pistar_vf.faults.loader_makers import LOADER, SCRIPT, asked_sizes, loader_function, of_function, own_maker
from pistar_vf.rehearsal.configs import run_functions
from pistar_vf.rehearsal.forgiving import open_any_dataset, take_any_folder
from pistar_vf.rehearsal.seen import defined_at, raised_at
from pistar_vf.rehearsal.stand_in import ABSENT, Base, StandIn, keys_of
from pistar_vf.rehearsal.world import World

_MODULE = "openpi.training.data_loader"
_PARTS = {"dataset": "dataset_class", "__len__": "length_class"}


def _made_loader(world: World) -> Any:
    """The loader that the script gets; else what its function makes by itself; None where nothing can be told."""
    made: list[Any] = []
    holder, name = _maker(world)
    take_any_folder(world)
    open_any_dataset(world)
    world.when_loaded(lambda module, loaded: _note_returned(loaded, name, made) if module == holder else None)
    script = world.attempt(world.load_file, SCRIPT).value
    for _ in () if script is None else run_functions(world, script):
        if made:
            break
    function = getattr(world.attempt(world.load, _MODULE).value, name, None)
    if not made and function is not None and holder == _MODULE:
        world.attempt(world.call_blindly, function)
    return made[0] if made and not isinstance(made[0], StandIn) else None


def _maker(world: World) -> tuple[str, str]:
    """The module and the name of what makes the loader: of the loader's module, or the script's own."""
    own = own_maker(world.tree)
    if own is None:
        return _MODULE, loader_function(world.tree) or ""
    return module_name(SCRIPT), getattr(own.func, "id", "")


def _note_returned(module: types.ModuleType, function: str, made: list[Any]) -> None:
    """Has a function of a module write down what it returns."""
    makes = vars(module).get(function)
    if makes is not None and not isinstance(makes, StandIn):
        setattr(module, function, _noting(makes, made))


def _noting(makes: Any, made: list[Any]) -> Any:
    @functools.wraps(makes, updated=())
    def noting(*args: Any, **kwargs: Any) -> Any:
        made.append(makes(*args, **kwargs))
        return made[-1]

    return noting


def loader_size(world: World) -> Finding | None:
    """Whether the loader has what the script asks for."""
    wanted, loader = asked_sizes(world.tree), _made_loader(world)
    if loader is None or not wanted:
        return None
    kind = type(loader)
    lacking = [name for name in wanted if not _has(loader, name)]
    if issubclass(kind, Base):
        return None
    if lacking:
        names = {_PARTS[each]: kind.__name__ for each in lacking} if _class_at(kind).startswith(f"{LOADER}:") else {}
        return fault(f"`{kind.__name__}` has no {' and no '.join(lacking)}", _class_at(kind), **names)
    return fixed(f"the loader has {' and '.join(wanted)}", _class_at(kind))


def _has(loader: Any, name: str) -> bool:
    """Whether a loader has a length, or a dataset that is no method."""
    if name == "__len__":
        return hasattr(type(loader), name)
    return hasattr(loader, name) and not isinstance(getattr(loader, name), types.MethodType)


def _class_at(kind: type) -> str:
    methods = [each for each in vars(kind).values() if isinstance(each, types.FunctionType)]
    return next((place for each in methods for place in [defined_at(each)] if place.startswith("src")), "")


def loader_items(world: World) -> Finding | None:
    """Whether the first item of the loader is an observation and a value."""
    loader = _made_loader(world)
    if loader is None or issubclass(type(loader), Base):
        return None
    outcome = world.attempt(lambda: next(iter(loader)))
    if isinstance(outcome.error, KeyError) and outcome.error.args == (ABSENT,):
        kind = _asking(outcome.error) or type(loader)
        names = {"loader_class": kind.__name__} if _class_at(kind).startswith(f"{LOADER}:") else {}
        text, names = of_function(world.tree, f"`{kind.__name__}` yields `actions`", names)
        return fault(text, raised_at(outcome.error), **names)
    item = outcome.value
    if isinstance(item, tuple) and len(item) == 2 and "value" in keys_of(item[1]):
        at = defined_at(getattr(type(loader), "__iter__", None))
        return fixed("the loader yields `value`", at)
    return None


def _asking(error: BaseException) -> type | None:
    """The class of the loader's module whose method asked for what is not there, however the script holds it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == LOADER]
    kinds = [type(frame.f_locals["self"]) for frame in frames if "self" in frame.f_locals]
    return kinds[-1] if kinds else None
