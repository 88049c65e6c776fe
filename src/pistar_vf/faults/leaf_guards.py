"""Conditions around what makes arrays of the leaves of a tree: whether they leave alone what is no array."""

import ast
from collections.abc import Sequence
from typing import Literal

from pistar_vf.faults.code import Code

TO_ARRAY = (
    "jax.device_put",
    "device_put",
    "jnp.asarray",
    "jax.numpy.asarray",
    "jax.numpy.array",
    "apply_fsdp_sharding",
)
"""What makes an array of a leaf, or stops at one that can be none."""
_OF_ARRAYS = {"shape", "dtype", "ndim", "size", "sharding", "aval", "devices", "__array__"}
Kind = Literal["arrays", "nothing", "unknown"]


def guard_kind(code: Code, guard: ast.IfExp | ast.If | ast.Try, body: ast.AST) -> Kind:
    """What a guard tells apart.

    Args:
        code: the file.
        guard: a condition, or a `try`.
        body: the function that is mapped over the leaves, which holds the guard.

    Returns:
        "arrays": what is no array is left alone. "nothing": it is not, whatever the guard says: that a leaf is not
        None, for example, or that an array is left alone. "unknown": nobody can tell.
    """
    if isinstance(guard, ast.Try):
        return "arrays" if any(map(_catches_types, guard.handlers)) else "nothing"
    negated = isinstance(guard.test, ast.UnaryOp) and isinstance(guard.test.op, ast.Not)
    asked = code.all(ast.Call, inside=guard.test)
    if not asked:
        return "nothing" if _asks_for_none(guard.test) else "unknown"
    either = any(isinstance(each, ast.Or) for each in ast.walk(guard.test))
    if either or not all(_asks_for_arrays(code, call) for call in asked):
        return "unknown"
    arrays, others = (guard.orelse, guard.body) if negated else (guard.body, guard.orelse)
    let_alone = arrays and not _makes_arrays(code, arrays) and _makes_arrays(code, [body])
    return "nothing" if let_alone or _makes_arrays(code, others) else "arrays"


def _catches_types(handler: ast.ExceptHandler) -> bool:
    """Whether a handler takes JAX's error, and returns something instead."""
    wide = handler.type is None or any(name in ast.dump(handler.type) for name in ("TypeError", "'Exception'"))
    return wide and not any(isinstance(each, ast.Raise) for each in handler.body)


def _asks_for_none(test: ast.expr) -> bool:
    """Whether a condition is of names, constants and comparisons with them."""
    parts = (each for each in ast.walk(test) if isinstance(each, ast.expr))
    return all(isinstance(each, ast.Name | ast.Constant | ast.Compare | ast.BoolOp | ast.UnaryOp) for each in parts)


def _asks_for_arrays(code: Code, call: ast.Call) -> bool:
    """Whether a call tells arrays from everything else."""
    name = (code.origin(call.func) or "").rpartition(".")[2]
    if name in ("hasattr", "getattr"):
        return any(isinstance(each, ast.Constant) and each.value in _OF_ARRAYS for each in call.args[1:2])
    if name == "isinstance":
        return any("array" in ast.dump(each).lower() for each in call.args[1:2])
    return "array" in name.lower()


def _makes_arrays(code: Code, parts: ast.AST | Sequence[ast.AST]) -> bool:
    """Whether one of several parts makes arrays."""
    every = parts if isinstance(parts, Sequence) else [parts]
    return any(code.calls(*TO_ARRAY, inside=each) for each in every)
