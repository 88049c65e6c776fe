"""What stands for a package that is not run, and for all that comes out of it: it takes every operation."""

import dataclasses
import inspect
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from pistar_vf.faults.state_faults import TREE_BASES

ABSENT = "actions"
"""The column that the datasets of the faults do not have."""

_RECORDS = ("PyTreeNode", "TrainState")
_OPERATORS = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"),
    *("radd", "rsub", "rmul", "rtruediv", "rfloordiv", "rmod", "rpow", "rmatmul", "rand", "ror", "rxor"),
    *("neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne", "round", "enter", "next"),
)


@runtime_checkable
class Setting(Protocol):
    """What a stand-in asks of the world that it is in."""

    truth: bool
    opening: bool
    known: dict[str, Any]
    called: set[str]

    def lacks(self, path: str) -> bool:
        """Whether the pinned version of a package does not have a name."""


class Base:
    """The base class of a class that is derived from a stand-in: what it inherits, nobody knows."""

    is_strange = True

    def __init__(self, *args: Any, **kwargs: Any):
        pass


class Node(Base):
    """The base class of a class that JAX takes for a tree."""

    is_tree, is_strange = True, False


class Record(Node):
    """The same, where it is a dataclass too."""

    def __init_subclass__(cls, **kwargs: Any):
        dataclasses.dataclass(cls)


class StandIn:
    """Every attribute, item, call and operation gives another one.

    Args:
        setting: the world; it says whether a condition holds.
        path: the dotted name of what it stands for.
        keys: the string by which it was taken out of something, and those of what it was made of.
    """

    __all__ = ()

    def __init__(self, setting: Setting, path: str, keys: frozenset[str] = frozenset()):
        self._setting, self._path, self._keys = setting, path, keys

    def __getattr__(self, name: str) -> "StandIn":
        path = f"{self._path}.{name}"
        if name.startswith("__") or self._setting.lacks(path):
            raise AttributeError(f"module {self._path!r} has no attribute {name!r}")
        known = self._setting.known
        child = known.get(path) or known.get(f"*.{name}") or StandIn(self._setting, path, self._keys)
        self.__dict__[name] = child
        return child

    def __getitem__(self, key: Any) -> "StandIn":
        if isinstance(key, str) and key == ABSENT:
            raise KeyError(key)
        return StandIn(self._setting, self._path, frozenset([key]) if isinstance(key, str) else self._keys)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        last = self._path.rpartition(".")[2]
        self._setting.called.add(last)
        if last in ("get", "pop") and args and isinstance(args[0], str):
            return args[1] if args[0] == ABSENT and len(args) > 1 else StandIn(self._setting, "", frozenset([args[0]]))
        if args and inspect.isclass(args[0]):
            return _decorated(last, args[0])
        if len(args) == 1 and not kwargs and inspect.isroutine(args[0]):
            return args[0]
        if last in ("item", "tolist"):
            return 1
        if self._setting.opening:
            _open(self._path, args, kwargs)
        return self._made_of(*args, *kwargs.values())

    def _made_of(self, *parts: Any) -> "StandIn":
        keys = self._keys.union(*(keys_of(each) for each in parts))
        return StandIn(self._setting, self._path, keys)

    def __iter__(self) -> Iterator["StandIn"]:
        return iter([self._made_of(), self._made_of()])

    def __contains__(self, key: Any) -> bool:
        return self._setting.truth if not isinstance(key, str) else key != ABSENT

    def __setitem__(self, key: Any, value: Any) -> None: ...
    def __delitem__(self, key: Any) -> None: ...
    def __exit__(self, *error: object) -> None: ...

    def __bool__(self) -> bool:
        return self._setting.truth

    def __len__(self) -> int:
        return 3

    def __int__(self) -> int:
        return 1

    __index__ = __int__
    __hash__ = object.__hash__

    def __float__(self) -> float:
        return 1.0

    def __str__(self) -> str:
        return f"<{self._path}>"

    __repr__ = __fspath__ = __str__

    def __format__(self, form: str) -> str:
        return str(self)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        first = next(each for each in bases if isinstance(each, StandIn))
        if first is not self or any(isinstance(each, type) and issubclass(each, Base) for each in bases):
            return ()  # one of them is enough
        last = self._path.rpartition(".")[2]
        return (Record,) if last in _RECORDS else (Node,) if last in TREE_BASES else (Base,)

    def __deepcopy__(self, memory: Any) -> "StandIn":
        return self


def _decorated(decorator: str, kind: Any) -> Any:
    """What a decorator of a package makes of a class: a dataclass, a tree, or nobody knows what."""
    is_record = decorator == "dataclass" and not dataclasses.is_dataclass(kind)
    made = dataclasses.dataclass(kind) if is_record else kind
    if decorator == "dataclass" or decorator.startswith("register_"):
        made.is_tree = True
    else:
        made.is_strange = True
    return made


def _operator(name: str) -> Any:
    """What an operation gives; nothing that nobody knows is just the word that it is compared with."""
    word = {"eq": False, "ne": True}.get(name)
    return lambda self, *args: word if word is not None and isinstance(args[0], str) else self._made_of(*args)


for _name in _OPERATORS:
    setattr(StandIn, f"__{_name}__", _operator(_name))


def path_class(setting: Setting) -> type:
    """A class of paths that touch no disk: what asks the disk is a stand-in."""

    class Path(pathlib.PurePosixPath):
        def __getattr__(self, name: str) -> StandIn:
            if name.startswith("_"):
                raise AttributeError(name)
            return StandIn(setting, f"pathlib.Path.{name}")

        expanduser = resolve = absolute = lambda self, *_, **__: self
        cwd = home = classmethod(lambda cls: cls("/home"))

    return Path


def keys_of(value: Any) -> frozenset[str]:
    """The keys of a stand-in; of anything else none."""
    return value.__dict__["_keys"] if isinstance(value, StandIn) else frozenset()


def _open(path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Opens a dataset that has no column `actions`, if a package is asked for one, by its name."""
    name = args[0] if args else kwargs.get("repo_id", path)
    if "lerobot" in path and name is None and not kwargs.get("root"):
        raise TypeError("unsupported operand type(s) for /: 'PosixPath' and 'NoneType'")
    if any(map(_holds_absent, (*args, *kwargs.values()))):
        raise KeyError(ABSENT)


def _holds_absent(value: Any) -> bool:
    return isinstance(value, dict | list | tuple | set) and ABSENT in itertools.filterfalse(_is_stand_in, value)


def _is_stand_in(value: Any) -> bool:
    return isinstance(value, StandIn)
