"""The question about the paths of pretrained weights, and what the expressions that make a path spell."""

import ast

from pistar_vf.faults.code import Code
from pistar_vf.faults.definitions import find_class
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place
from pistar_vf.faults.source_tree import SourceTree

_JOINS = ("Path", "PurePath", "PosixPath", "os.path.join", "joinpath", "str", "expanduser", "resolve")
_SETTABLE = ast.arguments | ast.BoolOp | ast.IfExp
"""What gives a path that is written out only where nothing else is said."""


def fixed_paths(tree: SourceTree, file: str, owner: str) -> Finding:
    """A class reads weights from a path that only its author has."""
    found = _class_behind(tree, tree.existing(file), owner)
    if found is None:
        return absent(f"{file} has no `{owner}`")
    scope, code = found
    paths = [each for each in code.all(ast.expr, inside=scope) if _is_own_path(spelled(code, each))]
    alone = [each for each in paths if not _can_be_set(code, each)]
    if alone:
        text = "the path of the weights is written out, and nothing can be set instead"
        return fault(text, place(code.file, alone[0]), weights_file=code.file)
    if paths:
        return fixed("the path can be set", place(code.file, paths[0]))
    return absent(f"`{owner}` has no path written out")


def _class_behind(tree: SourceTree, code: Code, name: str) -> tuple[ast.ClassDef, Code] | None:
    """A class of a module: defined there or imported; else the one class of that name, wherever it is."""
    found = find_class(tree, code, code.origin(ast.Name(name, ast.Load())))
    others = [] if found is not None else [find_class(tree, each, name) for each in tree.spelling(name)]
    named = [each for each in others if each is not None]
    return found if found is not None else named[0] if len(named) == 1 else None


def _is_own_path(text: str | None) -> bool:
    return text is not None and text.startswith("/") and text.count("/") > 2 and " " not in text.strip()


def _can_be_set(code: Code, node: ast.expr) -> bool:
    """Whether a path stands where something else is asked for first: `environ.get`, `or`, a parameter."""
    below: ast.AST = node
    for holder in code.above(node):
        if isinstance(holder, _SETTABLE):
            return True
        if isinstance(holder, ast.Call) and _asks_first(code, holder) and below in holder.args[1:]:
            return True
        if isinstance(holder, ast.stmt):
            return isinstance(holder, ast.Expr)  # a docstring, or nothing that anybody reads
        below = holder
    return False


def _asks_first(code: Code, call: ast.Call) -> bool:
    last = code.origin(call.func) or str(getattr(call.func, "attr", ""))
    return last.rpartition(".")[2] in ("get", "getenv", "pop", "setdefault", "getattr")


def spelled(code: Code, node: ast.expr, depth: int = 6) -> str | None:
    """The text that an expression spells, through constants of the file, f-strings, `+`, `/` and `os.path.join`.

    None where a part of it is not written out.
    """
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not depth:
        return None
    if isinstance(node, ast.Name):
        return spelled(code, code.aliases[node.id], depth - 1) if node.id in code.aliases else None
    if isinstance(node, ast.FormattedValue):
        return spelled(code, node.value, depth - 1)
    if isinstance(node, ast.JoinedStr):
        return _joined("", [spelled(code, each, depth - 1) for each in node.values])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Div):
        between = "/" if isinstance(node.op, ast.Div) else ""
        return _joined(between, [spelled(code, each, depth - 1) for each in (node.left, node.right)])
    if isinstance(node, ast.Call) and _joins(code, node):
        owner = [node.func.value] if isinstance(node.func, ast.Attribute) and code.origin(node.func) is None else []
        return _joined("/", [spelled(code, each, depth - 1) for each in (*owner, *node.args)])
    return None


def _joins(code: Code, call: ast.Call) -> bool:
    name = code.origin(call.func) or str(getattr(call.func, "attr", ""))
    return name in _JOINS or name.rpartition(".")[2] in _JOINS


def _joined(between: str, parts: list[str | None]) -> str | None:
    return None if any(each is None for each in parts) else between.join(each or "" for each in parts)
