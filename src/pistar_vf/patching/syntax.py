"""Finding things in syntax trees by name, and putting others in their place.

A name is dotted and goes from the outside in: `Class.method`, `function.nested`, `function.variable`,
`Class.field`. Loops, conditions and context managers do not count.
"""

import ast
import functools
import textwrap
from collections.abc import Sequence
from typing import Any, TypeVar, overload

import libcst as cst

First = TypeVar("First", bound=cst.CSTNode)
Second = TypeVar("Second", bound=cst.CSTNode)


class AnchorError(Exception):
    """What an edit holds on to is not there, or its place is taken; the text says what."""


def dotted(node: cst.CSTNode) -> str | None:
    """`a.b.c` for a name or an attribute of one; None for anything else."""
    parts = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    return ".".join([node.value, *reversed(parts)]) if isinstance(node, cst.Name) else None


def is_named(node: cst.CSTNode, name: str) -> bool:
    """Whether a node is `name` or `something.name`."""
    found = dotted(node)
    return found is not None and (found == name or found.endswith("." + name))


def statements(scope: cst.CSTNode) -> list[cst.BaseStatement]:
    """The statements of a scope, those in its loops and conditions too, but not those of inner definitions."""
    closed = (cst.FunctionDef, cst.ClassDef, cst.BaseSmallStatement, cst.BaseExpression)
    found, waiting = [], list(reversed(scope.children))
    while waiting:
        node = waiting.pop()
        if isinstance(node, cst.BaseStatement):
            found.append(node)
        if not isinstance(node, closed):
            waiting += reversed(node.children)
    return found


def bound_names(statement: cst.BaseStatement) -> list[str]:
    """The names that a definition or an assignment binds; several targets of one assignment do not count."""
    if isinstance(statement, cst.FunctionDef | cst.ClassDef):
        return [statement.name.value]
    names = []
    for small in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
        targets = [small.target] if isinstance(small, cst.AnnAssign) else []
        targets += [target.target for target in small.targets] if isinstance(small, cst.Assign) else []
        names += [target.value for target in targets if isinstance(target, cst.Name)]
    return names


@functools.lru_cache(maxsize=256)
def find(module: cst.Module, name: str) -> cst.BaseStatement | None:
    """The first definition or assignment of that dotted name."""
    found: cst.BaseStatement | None = None
    for part in name.split("."):
        found = next((each for each in statements(found or module) if part in bound_names(each)), None)
        if found is None:
            return None
    return found


def require(module: cst.Module, name: str) -> cst.BaseStatement:
    """`find`, or an error.

    Raises:
        AnchorError: there is none.
    """
    found = find(module, name)
    if found is None:
        raise AnchorError(f"`{name}` is missing")
    return found


def require_definition(module: cst.Module, name: str) -> cst.FunctionDef | cst.ClassDef:
    """`require` for a function or a class.

    Raises:
        AnchorError: there is none, or the name is assigned.
    """
    found = require(module, name)
    if not isinstance(found, cst.FunctionDef | cst.ClassDef):
        raise AnchorError(f"`{name}` is no function and no class any more")
    return found


def assignment(module: cst.Module, name: str) -> cst.Assign | cst.AnnAssign:
    """The small statement that assigns a name.

    Raises:
        AnchorError: the name is not assigned.
    """
    statement = require(module, name)
    small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
    if not isinstance(small, cst.Assign | cst.AnnAssign):
        raise AnchorError(f"`{name}` is not assigned any more")
    return small


@overload
def nodes(root: cst.CSTNode, kind: type[First], /) -> list[First]: ...


@overload
def nodes(root: cst.CSTNode, kind: type[First], other: type[Second], /) -> list[First | Second]: ...


def nodes(root: cst.CSTNode, *kinds: type[cst.CSTNode]) -> list[Any]:
    """Every node of one or two kinds below a root, itself included, in the order of the text."""
    return [node for node in _all_nodes(root) if isinstance(node, kinds)]


@functools.lru_cache(maxsize=4096)  # nodes never change: what an edit leaves alone is looked through once
def _all_nodes(root: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    if isinstance(root, cst.Module):
        return (root, *(node for statement in root.body for node in _all_nodes(statement)))
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += reversed(found[-1].children)
    return tuple(found)


@functools.lru_cache(maxsize=256)
def names_in(root: cst.CSTNode) -> frozenset[str]:
    """Every name below a root, attributes dotted."""
    return frozenset(filter(None, map(dotted, nodes(root, cst.Name, cst.Attribute))))


def calls(root: cst.CSTNode, name: str) -> list[cst.Call]:
    """The calls of a name."""
    return [call for call in nodes(root, cst.Call) if is_named(call.func, name)]


def code_of(node: cst.CSTNode) -> str:
    """A node as text."""
    return cst.Module(body=[]).code_for_node(node)


def same_code(first: cst.CSTNode, second: cst.CSTNode) -> bool:
    """Whether two statements or expressions are the same, comments and white space apart."""
    return ast.dump(_tree(first)) == ast.dump(_tree(second))


def _tree(node: cst.CSTNode) -> ast.AST:
    return ast.parse(textwrap.dedent(code_of(node)).strip())


def parse_statements(module: cst.Module, code: str) -> list[cst.BaseStatement]:
    """Our code, to be rendered with the indentation and the line ends of the module."""
    code = code.replace("\n", module.default_newline)  # inside of strings too
    return list(cst.parse_module(code, config=module.config_for_parsing).visit(_BareEmptyLines()).body)


class _BareEmptyLines(cst.CSTTransformer):
    """Empty lines stay empty where the code is indented."""

    def leave_EmptyLine(self, original_node: cst.EmptyLine, updated_node: cst.EmptyLine) -> cst.EmptyLine:
        return updated_node if updated_node.comment else updated_node.with_changes(indent=False)


def separator(
    before: Sequence[cst.Arg | cst.BaseElement | cst.Param], opening: cst.BaseParenthesizableWhitespace
) -> cst.Comma:
    """A comma, and the line break that stands between the items so far; comments stay where they are."""
    comma = before[-1].comma if before else None
    space = comma.whitespace_after if isinstance(comma, cst.Comma) else opening
    if isinstance(space, cst.ParenthesizedWhitespace):
        space = space.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=())
    else:
        space = cst.SimpleWhitespace(" ")
    return cst.Comma(whitespace_after=space)


class _Swap(cst.CSTTransformer):
    def __init__(self, old: cst.CSTNode, new: Sequence[cst.CSTNode]):
        self._old, self._new = old, new

    def on_leave(self, original_node: cst.CSTNode, updated_node: Any) -> Any:
        if original_node is not self._old:
            return updated_node
        return self._new[0] if len(self._new) == 1 else cst.FlattenSentinel(self._new)


def swap(module: cst.Module, old: cst.CSTNode, *new: cst.CSTNode) -> cst.Module:
    """The module with `new` in the place of the node `old`; without any `new`, the node goes."""
    body: list[Any] = list(module.body)
    place = next(i for i, statement in enumerate(body) if any(node is old for node in _all_nodes(statement)))
    if body[place] is old:
        body[place : place + 1] = new
    else:
        body[place] = body[place].visit(_Swap(old, new))
    return module.with_changes(body=body)
