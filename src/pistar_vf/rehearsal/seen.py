"""From what happened in a world to a finding."""

import traceback
from collections.abc import Callable

from pistar_vf.faults.finding import Finding
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.rehearsal.world import PREFIX, World


def in_both_worlds(tree: SourceTree, look: Callable[[World], Finding | None]) -> Finding | None:
    """What is seen where open conditions do not hold and, just so, where they do; None where it is not the same."""
    first, second = (look(World(tree, truth)) for truth in (False, True))
    return first if first is not None and second is not None and first.verdict == second.verdict else None


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
