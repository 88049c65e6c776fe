"""Makes the syntax tree of a file ready: its loops come to an end, and stand-ins can be taken apart."""

import ast
from typing import Any

from pistar_vf.rehearsal.stand_in import StandIn

STEP, ROWS, PARTS, STOPS = "__step__", "__rows__", "__parts__", "__stops__"
"""What `World` gives: notes what runs, takes apart each of many, takes one apart, judges a check that raises."""
ITEM, UNSAID = "__item__", "__unsaid__"
"""Takes an item; what a choice gives that nobody made."""


def prepared(tree: ast.Module, file: str) -> ast.Module:
    """A tree whose bodies say that they run, and in which what is taken apart says into how many parts.

    Args:
        tree: of a file.
        file: its path in the checkout; functions are known by it and by their line.
    """
    return ast.fix_missing_locations(_Preparing(file).visit(tree))


class _Preparing(ast.NodeTransformer):
    def __init__(self, file: str):
        self._file = file

    def visit_FunctionDef(self, node: Any) -> Any:
        choices = node.name != "__getattr__" and any(map(_is_choice, node.body[:-1]))  # that one answers Python
        if choices and isinstance(node.body[-1], ast.Raise):
            node.body[-1] = ast.copy_location(ast.Return(ast.Name(UNSAID, ast.Load())), node.body[-1])
        return self._counted(node, 1 if ast.get_docstring(node) is not None else 0, f"{self._file}:{node.lineno}")

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_While(self, node: ast.While) -> Any:
        return self._counted(node, 0)

    def visit_For(self, node: ast.For) -> Any:
        node.iter = _taken_apart(ROWS, node.iter, node.target)
        return self._counted(node, 0)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or any(isinstance(each, ast.Slice) for each in ast.walk(node.slice)):
            return node
        return ast.copy_location(ast.Call(ast.Name(ITEM, ast.Load()), [node.value, node.slice], []), node)

    def visit_If(self, node: ast.If) -> Any:
        if isinstance(node.body[-1], ast.Raise):
            node.test = _checked(node.test)
        return self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        node.iter = _taken_apart(ROWS, node.iter, node.target)
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        for target in node.targets:
            node.value = _taken_apart(PARTS, node.value, target)
        return self.generic_visit(node)

    def _counted(self, node: Any, at: int, function: str = "") -> Any:
        self.generic_visit(node)
        step = ast.Expr(ast.Call(ast.Name(STEP, ast.Load()), [ast.Constant(function)], []))
        node.body.insert(at, ast.copy_location(step, node.body[0]))
        return node


def _is_choice(node: ast.stmt) -> bool:
    """`if given == "…":`, whose last case, none of them, is not the one that a user takes."""
    test = node.test if isinstance(node, ast.If) else None
    return isinstance(test, ast.Compare) and all(isinstance(each, ast.Constant) for each in test.comparators)


def _checked(test: ast.expr) -> ast.expr:
    """A check that raises: of what nobody knows it finds nothing wrong."""
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    asked = test.operand if isinstance(test, ast.UnaryOp) and negated else test
    return ast.copy_location(ast.Call(ast.Name(STOPS, ast.Load()), [asked, ast.Constant(negated)], []), test)


def _taken_apart(helper: str, value: ast.expr, target: ast.expr) -> ast.expr:
    """The value, through a helper that knows the number of parts, where a target has parts."""
    if not isinstance(target, ast.Tuple | ast.List) or any(isinstance(each, ast.Starred) for each in target.elts):
        return value
    called = ast.Call(ast.Name(helper, ast.Load()), [value, ast.Constant(len(target.elts))], [])
    return ast.copy_location(called, value)


def take_parts(value: Any, count: int) -> Any:
    """A stand-in in that many parts; what is none is left as it is."""
    return tuple(value[place] for place in range(count)) if isinstance(value, StandIn) else value


def take_item(holder: Any, key: Any) -> Any:
    """An item; of what is written out the first, where the key is not known."""
    if isinstance(key, StandIn) and isinstance(holder, dict | list | tuple) and holder:
        return next(iter(holder.values() if isinstance(holder, dict) else holder))
    return holder[key]


def stops(value: Any, negated: bool) -> bool:
    """Whether a check that raises finds something wrong; in a stand-in it finds nothing."""
    return False if isinstance(value, StandIn) else bool(value) is not negated
