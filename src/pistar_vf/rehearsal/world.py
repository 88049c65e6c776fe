"""A checkout whose modules are run in memory: no package, no file and no network is behind them.

Modules of the checkout run as they are, with changes that are not written yet. Of the standard library, only what
computes is there; all else, and every package, is a stand-in. A world does not tell one exception from another: what
a question makes of it, is its own business.
"""

import ast
import builtins
import dataclasses
import functools
import inspect
import pathlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from pistar_vf.faults.code import module_name
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.rehearsal.packages import COMPUTES, KNOWN, LACKING, tolerant_dataclasses
from pistar_vf.rehearsal.rewriting import ITEM, PARTS, ROWS, STEP, STOPS, UNSAID, prepared, stops, take_item, take_parts
from pistar_vf.rehearsal.stand_in import Base, StandIn, path_class

PREFIX = "pistar_vf_rehearsed"
_STEPS = 20_000
_CLOSED = ("open", "input", "exec", "eval", "compile", "breakpoint", "exit", "quit")


class Halt(BaseException):
    """Stops code that nothing can be told of: it does not end, or asks what nobody knows."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        value: what was returned; None after an error.
        error: what was raised; None where nothing was.
    """

    value: Any = None
    error: BaseException | None = None


class World:
    """The modules of a checkout.

    Args:
        tree: the checkout.
        truth: what a condition is that nobody knows.

    Attributes:
        known: dotted names of packages, and what is there in their place instead of a stand-in.
        called: the last parts of the names of what was called of packages.
        not_run: packages of the checkout that are stand-ins too.
        opening: whether a dataset is being opened, one that has no column `actions`.
        strict: a dotted name; where the checkout lacks it, or what is in it, Python's error comes, not a stand-in.
        asked: whether that was asked for, and is not there.
        ran: the functions that were called, as `file:line`, and the files that were run, as `file`.
    """

    def __init__(self, tree: SourceTree, truth: bool, ran: set[str] | None = None):
        self.truth, self.opening = truth, False
        self.not_run = ["gemma"]
        self.strict, self.asked = "", False
        self.known: dict[str, Any] = dict(KNOWN)
        self.called: set[str] = set()
        self.tree, self._steps = tree, 0
        self.ran = set() if ran is None else ran
        self._modules: dict[str, Any] = {}
        self._ready: list[Callable[[str, types.ModuleType], None]] = []
        self._builtins = {**vars(builtins), **{name: StandIn(self, name) for name in _CLOSED}}
        self._builtins |= {"__import__": self._import, "print": StandIn(self, "print"), "isinstance": self._isinstance}
        self._builtins |= {
            STEP: self._step,
            ROWS: self._rows,
            PARTS: take_parts,
            STOPS: stops,
            ITEM: take_item,
            UNSAID: StandIn(self, "unsaid"),
        }

    def again(self) -> "World":
        """The same checkout, of which nothing has run yet; what runs is noted here too."""
        return World(self.tree, self.truth, self.ran)

    def lacks(self, path: str) -> bool:
        """Whether the pinned version of a package does not have a name."""
        return path in LACKING

    def when_loaded(self, do: Callable[[str, types.ModuleType], None]) -> None:
        """Calls `do(name, module)` whenever a module of the checkout has run."""
        self._ready.append(do)

    def attempt(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Outcome:
        """Calls something; what comes out of it."""
        self._steps = 0
        try:
            return Outcome(value=call(*args, **kwargs))
        except (Exception, SystemExit, Halt) as error:
            return Outcome(error=error)
        finally:
            for name in [each for each in sys.modules if each.startswith(f"{PREFIX}.")]:
                del sys.modules[name]

    def load(self, name: str) -> Any:
        """A module of the checkout, or what stands for one of elsewhere."""
        parent, _, last = name.rpartition(".")
        holder = self.load(parent) if parent else None
        if name not in self._modules:
            module = self._found(name, holder)
            self._modules[name] = module
            if isinstance(holder, types.ModuleType):
                setattr(holder, last, module)
        return self._modules[name]

    def load_file(self, file: str, name: str = "") -> types.ModuleType:
        """Runs a file of the checkout as a module."""
        name = name or module_name(file)
        module = types.ModuleType(f"{PREFIX}.{name}")
        is_package = file.endswith("__init__.py")
        module.__dict__.update(
            __file__=f"/checkout/{file}",
            __builtins__=self._builtins,
            __package__=name if is_package else name.rpartition(".")[0],
        )
        if is_package:
            module.__path__ = []
        vars(module)["__getattr__"] = functools.partial(self._left_out, name)
        self._modules[name] = sys.modules[module.__name__] = module
        try:
            exec(compiled(file, self.tree.read(file) or b""), module.__dict__)
        except BaseException:
            del self._modules[name]
            raise
        self.ran.add(file)
        for do in self._ready:
            do(name, module)
        return module

    def _found(self, name: str, holder: Any) -> Any:
        runs = not f"{name}.".startswith(tuple(f"{each}." for each in self.not_run))
        file = self._file_of(name) if runs else None
        if file is not None:
            return self.load_file(file, name)
        if name in COMPUTES:
            return tolerant_dataclasses(self) if name == "dataclasses" else COMPUTES[name]
        if runs and self.tree.python_files(_folder(name)):
            return self._namespace(name)
        if self.lacks(name) or self._is_refused(name):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if isinstance(holder, StandIn):
            return getattr(holder, name.rpartition(".")[2])
        return self._replaced(name)

    def _file_of(self, name: str) -> str | None:
        """The file of a module; a script finds its neighbours too."""
        beside = f"scripts/{name}.py"
        return self.tree.file_of(name) or (beside if self.tree.read(beside) is not None else None)

    def _left_out(self, module: str, name: str) -> StandIn:
        """What a module of the checkout lacks: another question's business."""
        if name.startswith("__") or self._is_refused(f"{module}.{name}"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return StandIn(self, f"{module}.{name}")

    def _is_refused(self, name: str) -> bool:
        refused = bool(self.strict) and f"{name}.".startswith(f"{self.strict}.")
        self.asked |= refused
        return refused

    def _namespace(self, name: str) -> types.ModuleType:
        """A folder without a file of its own."""
        module = types.ModuleType(f"{PREFIX}.{name}")
        module.__path__ = []
        return module

    def _replaced(self, name: str) -> StandIn:
        module = StandIn(self, name)
        if name == "pathlib":
            module.__dict__.update(dict.fromkeys(("Path", "PurePath", "PosixPath"), path_class(self)))
        if name == "importlib":
            module.__dict__["import_module"] = self.load
        return module

    def _import(self, name: str, scope: Any = None, _: Any = None, names: Any = (), level: int = 0) -> Any:
        if level:
            parts = scope["__package__"].split(".")
            name = ".".join([*parts[: len(parts) - level + 1], *filter(None, [name])])
        if self.strict and scope["__name__"] == f"{PREFIX}.{self.strict}" and self._is_lost(name):
            raise ModuleNotFoundError(f"No module named {name!r}, which {self.strict} imports", name=name)
        module = self.load(name)
        if not names:
            return self.load(name.split(".")[0])
        for each in names:
            if each != "*" and hasattr(module, "__path__") and each not in vars(module):
                self._submodule(f"{name}.{each}")
        return module

    def _is_lost(self, name: str) -> bool:
        """Whether a module of the checkout's own packages is not there."""
        own = bool(self.tree.python_files(_folder(name.split(".")[0])))
        return own and self.tree.file_of(name) is None and not self.tree.python_files(_folder(name))

    def get(self, name: str) -> Any:
        """What a module of the checkout that has run gives for the last part of a dotted name; None for nothing."""
        module, last = self._modules.get(name.rpartition(".")[0]), name.rpartition(".")[2]
        return getattr(module, last, None) if isinstance(module, types.ModuleType) else None

    def _submodule(self, name: str) -> None:
        if self.tree.file_of(name) is not None or self.tree.python_files(_folder(name)):
            self.load(name)

    def _isinstance(self, value: Any, kinds: Any) -> bool:
        try:
            known = isinstance(value, kinds)
        except TypeError:  # one of them is a stand-in, whose objects nobody else makes
            return self.truth and isinstance(value, StandIn | Base | pathlib.PurePath)
        numbers = all(each in (bool, int, float, complex) for each in (kinds if isinstance(kinds, tuple) else (kinds,)))
        return known or (isinstance(value, StandIn) and self.truth and not numbers)

    def _step(self, function: str) -> None:
        self._steps += 1
        self.ran.add(function)
        if self._steps > _STEPS:
            raise Halt

    def _rows(self, rows: Any, count: int) -> Iterator[Any]:
        return (take_parts(each, count) for each in rows)

    def call_blindly(self, function: Any, *first: Any) -> Any:
        """Calls a function with its first arguments, and something for each other one that must be given."""
        positional, named = list(first), {}
        for each in list(inspect.signature(function).parameters.values())[len(first) :]:
            if each.default is not each.empty or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                continue
            value = self._something(each)
            if each.kind is each.KEYWORD_ONLY:
                named[each.name] = value
            else:
                positional.append(value)
        return function(*positional, **named)

    def _something(self, parameter: inspect.Parameter) -> Any:
        known = {str: "/data", "str": "/data", int: 1, "int": 1, bool: False, "bool": False}
        given = parameter.annotation
        return known[given] if isinstance(given, type | str) and given in known else StandIn(self, parameter.name)


@functools.lru_cache(maxsize=1024)
def compiled(file: str, source: bytes) -> types.CodeType:
    """A file of the checkout, made ready; compiling runs nothing."""
    return compile(prepared(ast.parse(source), file), file, "exec", dont_inherit=True)


def _folder(name: str) -> str:
    return f"src/{name.replace('.', '/')}"
