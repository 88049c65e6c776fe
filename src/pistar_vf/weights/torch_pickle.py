"""The pickle inside a torch file, read as data: no class of it is imported and no function of it is called.

A pickle is a small program. This one knows the instructions that plain containers and tensors are made of, and three
calls, which it answers itself; any other instruction or call ends the reading.
"""

import dataclasses
import pickletools
from collections.abc import Callable
from typing import Any

from pistar_vf.errors import CheckpointError

_CALLS = ("collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter")
_MARK = object()


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """Where the numbers of a tensor are.

    Attributes:
        storage: name of the raw file that holds them.
        storage_type: torch's class of it, such as "torch FloatStorage".
        offset: of the first number, counted in numbers.
        shape: of the tensor.
        strides: numbers from one entry to the next, per axis.
    """

    storage: str
    storage_type: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Name:
    """A class or function that the pickle names; only its name is ever looked at."""

    name: str


def read_pickle(data: bytes, where: str) -> Any:
    """The dicts, lists, numbers, texts and `StoredTensor`s that a pickle describes.

    Args:
        data: the content of `data.pkl`.
        where: the file, for messages.

    Raises:
        CheckpointError: it holds anything else; says what.
    """
    machine = _Machine(where)
    try:
        for instruction, argument, _ in pickletools.genops(data):
            machine.run(instruction.name, argument)
        return machine.stack.pop()
    except CheckpointError:
        raise
    except Exception as error:  # genops raises whatever a damaged stream leads to
        raise CheckpointError(f"{where}: the list of its tensors is damaged: {error!r}; download it again") from error


class _Machine:
    """The stack and the memory of a pickle."""

    def __init__(self, where: str):
        self.stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        self._where = where

    def run(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise self._refusal(f"the instruction {name}")

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _above_mark(self) -> list[Any]:
        start = max(index for index, item in enumerate(self.stack) if item is _MARK)
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._above_mark()))

    def _short_tuple(self, length: int) -> None:
        items = tuple(self.stack[-length:])
        del self.stack[-length:]
        self.stack.append(items)

    def _remember(self, place: int | None) -> None:
        self._memory[len(self._memory) if place is None else place] = self.stack[-1]

    def _recall(self, place: int) -> None:
        self.stack.append(self._memory[place])

    def _append(self, items: list[Any]) -> None:
        self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise self._refusal(f"items set on {self.stack[-1]!r}")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _name(self, argument: str | None) -> None:
        if argument is None:
            name, module = self.stack.pop(), self.stack.pop()
            argument = f"{module} {name}"
        self.stack.append(_Name(argument))

    def _call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Name) or function.name not in _CALLS:
            name = function.name.replace(" ", ".") if isinstance(function, _Name) else "what is no function"
            raise self._refusal(f"a call of {name}")
        if function.name == _CALLS[0]:
            self.stack.append(dict(*arguments))
        elif function.name == _CALLS[1]:
            self.stack.append(_tensor(*arguments))
        else:
            self.stack.append(arguments[0])

    def _storage(self, _: Any) -> None:
        kind, storage_type, key = self.stack.pop()[:3]
        if kind != "storage" or not isinstance(storage_type, _Name):
            raise self._refusal(f"a persistent object of the kind {kind!r}")
        self.stack.append((str(key), storage_type.name))

    def _attributes(self, _: Any) -> None:
        """torch gives a state dict a `_metadata`, which is no weight."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise self._refusal(f"attributes set on {self.stack[-1]!r}")

    def _refusal(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self._where}: expected a state dict (tensors, numbers and texts), found {what}, which is not run here; "
            "save the weights alone: torch.save(module.state_dict(), path)"
        )


def _tensor(storage: tuple[str, str], offset: int, shape: tuple, strides: tuple, *_: Any) -> StoredTensor:
    return StoredTensor(*storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_LITERALS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
)
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine._mark,
    "TUPLE": _Machine._tuple,
    "TUPLE1": lambda machine, _: machine._short_tuple(1),
    "TUPLE2": lambda machine, _: machine._short_tuple(2),
    "TUPLE3": lambda machine, _: machine._short_tuple(3),
    "BINPUT": _Machine._remember,
    "LONG_BINPUT": _Machine._remember,
    "MEMOIZE": _Machine._remember,
    "BINGET": _Machine._recall,
    "LONG_BINGET": _Machine._recall,
    "APPEND": lambda machine, _: machine._append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine._append(machine._above_mark()),
    "SETITEM": lambda machine, _: machine._set([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine._set(machine._above_mark()),
    "GLOBAL": _Machine._name,
    "STACK_GLOBAL": _Machine._name,
    "REDUCE": _Machine._call,
    "BINPERSID": _Machine._storage,
    "BUILD": _Machine._attributes,
}
