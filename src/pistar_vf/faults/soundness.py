"""Whether an edit leaves files that run: each compiles, and no name loses what it meant, there or elsewhere."""

import ast
import builtins

from pistar_vf.faults.code import Code, bound_names, module_name, statements
from pistar_vf.faults.source_tree import SourceTree


def broken(before: bytes | None, after: bytes | None) -> str:
    """What an edit would break in a Python file; "" for nothing."""
    if after is None:
        return ""
    try:
        compile(after, "patched", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return f"line {getattr(error, 'lineno', 1)} would be no valid Python ({getattr(error, 'msg', error)})"
    lost = _unbound(after) - (_unbound(before) if before is not None else set())
    return f"`{min(lost)}` would be used without being defined" if lost else ""


def _unbound(source: bytes) -> set[str]:
    """Names that are read and nowhere bound; scopes are not told apart."""
    read: set[str] = set()
    bound = set(dir(builtins)) | {"__file__", "__name__"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read - bound


def taken_away(before: SourceTree, after: SourceTree, file: str) -> str:
    """What loses a name that an edit takes out of a file; "" for nothing.

    Args:
        before: the checkout.
        after: the checkout with the edit.
        file: the file that was edited.
    """
    old, new = before.code(file), after.code(file)
    if old is None or new is None:
        return ""
    for name in sorted(_names(old) - _names(new)):
        if any(each.id == name and isinstance(each.ctx, ast.Load) for each in new.all(ast.Name)):
            return f"`{name}` would be used in {file} without being defined"
        if any(text.value == name and _is_listed(new, text.node) for text in new.strings()):
            return f"`{name}` would be missing, which `__all__` of {file} names"
        users = [
            code.file for code in after.spelling(name) if code.file != file and _takes(code, module_name(file), name)
        ]
        if users:
            return f"`{name}` would be missing in {file}, where {users[0]} takes it from"
    return ""


def _names(code: Code) -> set[str]:
    """What a module binds, handlers and the other halves of conditions apart: they may not run."""
    first = [each for each in statements(code.tree) if not _is_second_choice(code, each)]
    return {name for statement in first for name in bound_names(statement)}


def _is_second_choice(code: Code, statement: ast.AST) -> bool:
    below = statement
    for holder in code.above(statement):
        if isinstance(holder, ast.ExceptHandler) or (isinstance(holder, ast.If) and below in holder.orelse):
            return True
        below = holder
    return False


def _is_listed(code: Code, text: ast.AST) -> bool:
    """Whether a string is one of `__all__`."""
    lists = [each for each in code.above(text) if isinstance(each, ast.Assign | ast.AnnAssign | ast.AugAssign)]
    return any("__all__" in ast.dump(each) for each in lists)


def _takes(code: Code, module: str, name: str) -> bool:
    """Whether a file takes a name from a module, by itself or with everything else."""
    if code.uses(module, name):
        return True
    stars = [each for each in code.all(ast.ImportFrom) if any(alias.name == "*" for alias in each.names)]
    return any(code.source(each) == module for each in stars)
