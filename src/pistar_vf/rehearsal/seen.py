"""From what happened in a world to a finding."""

import dataclasses
import traceback
import types
from collections.abc import Callable
from typing import Any

from pistar_vf.faults.finding import Finding, unknown
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.rehearsal.world import PREFIX, World


@dataclasses.dataclass(frozen=True)
class Seen:
    """What running says.

    Attributes:
        finding: "fault" or "fixed" where it is so whatever open conditions are; "unknown" where there is a fault only
            if they hold, or only if they do not.
        ran: the functions that were called either way, as `file:line`, and the files, as `file`.
    """

    finding: Finding
    ran: frozenset[str]


def in_both_worlds(tree: SourceTree, look: Callable[[World], Finding | None]) -> Seen | None:
    """What is seen where open conditions do not hold, and where they do; None where neither shows anything."""
    worlds = [World(tree, truth) for truth in (False, True)]
    findings = [look(world) for world in worlds]
    both = _both(*findings)
    return None if both is None else Seen(both, frozenset(worlds[0].ran & worlds[1].ran))


def _both(without: Finding | None, holding: Finding | None) -> Finding | None:
    """One finding of two: a fault that comes only under conditions is not certain, and is not kept secret."""
    if without is not None and holding is not None and without.verdict == holding.verdict:
        return without
    for found, when in ((without, "do not hold"), (holding, "hold")):
        if found is not None and found.verdict == "fault":
            text = f"where conditions {when} of which nobody knows the outcome, {found.text}"
            return dataclasses.replace(unknown(text, found.place), names=found.names)
    return None


def raised_at(error: BaseException) -> str:
    """`file:line` of the innermost line of the checkout; "" where there is none."""
    lines = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    own = [f"{file}:{number}" for file, number in lines if not file.startswith(("/", "<"))]
    return own[-1] if own else ""


def said(error: BaseException) -> str:
    """An error as Python prints it, in one line."""
    line = f"{type(error).__name__}: {error}".splitlines()[0].replace(f"{PREFIX}.", "").replace("/checkout/", "")
    return "".join(each for each in line if each.isprintable())


def defined_at(function: object) -> str:
    """`file:line` of a function of the checkout; "" for others."""
    code = getattr(function, "__code__", None)
    return "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def note_made(module: types.ModuleType, name: str, made: list[Any]) -> None:
    """Has a class of a module write down every object of it that is made."""
    kind = getattr(module, name, None)
    if isinstance(kind, type):
        setattr(kind, "__new__", lambda cls, *_, **__: _noted(object.__new__(cls), made))  # noqa: B010


def _noted(value: Any, made: list[Any]) -> Any:
    made.append(value)
    return value
