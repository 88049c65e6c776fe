"""A Python file to ask: which name means what, what is bound, and what is evaluated under a guard.

Names are resolved through imports and plain aliases, whatever the file calls them: `tm` is `jax.tree_util.tree_map`
after `from jax.tree_util import tree_map as tm`. Scopes are not told apart; a name that is bound to different things is
not resolved.
"""

import ast
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, overload

_CATCH_ALL = {"Exception", "BaseException"}
First = TypeVar("First", bound=ast.AST)
Second = TypeVar("Second", bound=ast.AST)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclasses.dataclass(frozen=True)
class Text:
    """A string of the code."""

    node: ast.Constant
    value: str


class Code:
    """One parsed file.

    Attributes:
        file: its path in the checkout.
        tree: its syntax tree.
    """

    def __init__(self, file: str, source: bytes):
        self.file = file
        self.tree = ast.parse(source)

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node."""
        return tuple(ast.walk(self.tree))

    @overload
    def all(self, kind: type[First], /, *, inside: ast.AST | None = None) -> list[First]: ...

    @overload
    def all(
        self, kind: type[First], other: type[Second], /, *, inside: ast.AST | None = None
    ) -> list[First | Second]: ...

    def all(self, *kinds: type[ast.AST], inside: ast.AST | None = None) -> list[Any]:
        """Nodes of one or two kinds, below one node or in the whole file, in the order of the text."""
        found = self.nodes if inside is None else ast.walk(inside)
        return sorted(
            (node for node in found if isinstance(node, kinds)),
            key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)),
        )

    @functools.cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Node to the one that holds it."""
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """What holds a node, from the inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    @functools.cached_property
    def imported(self) -> dict[str, str]:
        """Local name to what it was imported as, dotted and absolute."""
        table = {}
        for statement in self.all(ast.Import, ast.ImportFrom):
            for alias in statement.names:
                local, _, _ = (alias.asname or alias.name).partition(".")
                if isinstance(statement, ast.ImportFrom):
                    table[alias.asname or alias.name] = f"{self.source(statement)}.{alias.name}"
                else:
                    table[local] = alias.name if alias.asname else local
        return table

    def source(self, statement: ast.ImportFrom) -> str:
        """The module that `from … import` names, absolute."""
        if not statement.level:
            return statement.module or ""
        parts = module_name(self.file).split(".")
        kept = parts[: len(parts) - statement.level + self.file.endswith("__init__.py")]
        return ".".join([*kept, *filter(None, [statement.module])])

    @functools.cached_property
    def aliases(self) -> dict[str, ast.expr]:
        """Name to the expression, for names that are assigned once."""
        found: dict[str, list[ast.expr]] = {}
        for statement in self.all(ast.Assign, ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Name) and statement.value is not None:
                    found.setdefault(target.id, []).append(statement.value)
        return {name: values[0] for name, values in found.items() if len(values) == 1}

    def origin(self, node: ast.AST, depth: int = 4) -> str | None:
        """What a name or an attribute means, dotted: through imports and aliases; None for other expressions."""
        if isinstance(node, ast.Attribute):
            owner = self.origin(node.value, depth)
            return None if owner is None else f"{owner}.{node.attr}"
        if not isinstance(node, ast.Name):
            return None
        if node.id in self.imported:
            return self.imported[node.id]
        alias = self.aliases.get(node.id)
        if depth and isinstance(alias, ast.Name | ast.Attribute):
            return self.origin(alias, depth - 1)
        return node.id

    def definition(self, name: str) -> Definition | None:
        """A function or a class of the file, by its dotted name; conditions and loops do not count."""
        found: Definition | None = None
        for part in name.split("."):
            inner = (node for node in statements(found or self.tree) if isinstance(node, Definition))
            found = next((node for node in inner if node.name == part), None)
            if found is None:
                return None
        return found

    def path(self, node: Definition) -> str:
        """The dotted name of a definition."""
        holders = [each.name for each in self.above(node) if isinstance(each, Definition)]
        return ".".join([*reversed(holders), node.name])

    def bindings(self, name: str, scope: ast.AST | None = None) -> list[ast.AST]:
        """The statements that bind a name in a module or a class, those under `if TYPE_CHECKING` apart."""
        return [
            node
            for node in statements(scope or self.tree)
            if name in bound_names(node) and not self.for_types_only(node)
        ]

    def for_types_only(self, node: ast.AST) -> bool:
        """Whether a statement is under `if TYPE_CHECKING`."""
        tests = [each.test for each in self.above(node) if isinstance(each, ast.If)]
        return any((self.origin(test) or "").endswith("TYPE_CHECKING") for test in tests)

    def guarded(self, node: ast.AST, lacking: str = "") -> bool:
        """Whether an import or an attribute that fails is caught, or asked for by `hasattr` first.

        Args:
            node: an import statement, an attribute or a name.
            lacking: the dotted name of what is not there; "" where that is not known.
        """
        below, errors = node, self._errors_of(node, lacking)
        for each in self.above(node):
            if (
                isinstance(each, ast.Try)
                and below in each.body
                and any(_catches(each, errors) for each in each.handlers)
            ):
                return True
            if isinstance(each, ast.With) and any(_suppresses(item.context_expr, errors) for item in each.items):
                return True
            if isinstance(each, ast.If | ast.IfExp) and below is not each.test and self._asks_for(each.test, node):
                return True
            if isinstance(each, ast.BoolOp) and self._asked_before(each, below, node):
                return True
            below = each
        return False

    def _errors_of(self, node: ast.AST, lacking: str) -> set[str]:
        """What catches the error of a node: a name that a module lacks is no module that is not found."""
        if isinstance(node, ast.Attribute):
            return {*_CATCH_ALL, "AttributeError"}
        if isinstance(node, ast.Name):  # what binds it may be what fails
            return {*_CATCH_ALL, "NameError", "ImportError", "ModuleNotFoundError", "AttributeError"}
        source = self.source(node) if isinstance(node, ast.ImportFrom) else ""
        is_name = isinstance(node, ast.ImportFrom) and lacking and not f"{source}.".startswith(f"{lacking}.")
        return {*_CATCH_ALL, "ImportError"} | (set() if is_name else {"ModuleNotFoundError"})

    def _asked_before(self, condition: ast.BoolOp, part: ast.AST, node: ast.AST) -> bool:
        """Whether `hasattr(…) and`, or `not hasattr(…) or`, stands before the part of a condition that holds a node."""
        before = list(itertools.takewhile(lambda each: each is not part, condition.values))
        if isinstance(condition.op, ast.And):
            return any(not _is_not(each) and self._asks_for(each, node) for each in before)
        return any(_is_not(each) and self._asks_for(each, node) for each in before)

    def _asks_for(self, test: ast.expr, node: ast.AST) -> bool:
        """Whether a condition is `hasattr(…, "name")` for what a node reads or imports."""
        names = {alias.name for alias in getattr(node, "names", ())} | {getattr(node, "attr", getattr(node, "id", ""))}
        asked = [call.args[1:2] for call in self.calls("hasattr", inside=test)]
        return any(isinstance(each, ast.Constant) and each.value in names for group in asked for each in group)

    def uses(self, module: str, name: str) -> list[ast.AST]:
        """Where a name of a module is imported, or read as an attribute of the module."""
        wanted = f"{module}.{name}"
        found: list[ast.AST] = [
            statement
            for statement in self.all(ast.ImportFrom)
            if self.source(statement) == module and name in {alias.name for alias in statement.names}
        ]
        found += [s for s in self.all(ast.Import) if wanted in {alias.name for alias in s.names}]
        found += [node for node in self.all(ast.Attribute) if self.origin(node) == wanted]
        return [node for node in found if not self.for_types_only(node)]

    def calls(self, *names: str, inside: ast.AST | None = None) -> list[ast.Call]:
        """Calls of what a dotted name means; a name without a dot matches the last part."""
        found = []
        for call in self.all(ast.Call, inside=inside):
            meant = self.origin(call.func)
            if meant is not None and any(meant == name or meant.endswith(f".{name}") for name in names):
                found.append(call)
        return found

    def replaced(self, owner: str, name: str) -> list[tuple[ast.AST, ast.expr | None]]:
        """Where an attribute of a class is set from outside, `Owner.name = …`, and what it becomes."""
        found: list[tuple[ast.AST, ast.expr | None]] = []
        for node in self.all(ast.Attribute):
            if node.attr == name and isinstance(node.ctx, ast.Store) and _last(self.origin(node.value)) == owner:
                found.append((node, getattr(self.parents[node], "value", None)))
        for call in self.calls("setattr"):
            values = [each.value for each in call.args[1:2] if isinstance(each, ast.Constant)]
            if values == [name] and _last(self.origin(call.args[0])) == owner:
                found.append((call, call.args[2] if len(call.args) > 2 else None))
        return found

    def strings(self, inside: ast.AST | None = None) -> list[Text]:
        """The strings of the code, docstrings apart."""
        found = [(each, each.value) for each in self.all(ast.Constant, inside=inside)]
        return [Text(node, value) for node, value in found if isinstance(value, str) and not self._is_docstring(node)]

    def _is_docstring(self, constant: ast.Constant) -> bool:
        return isinstance(self.parents.get(constant), ast.Expr)


def _is_not(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _last(name: str | None) -> str:
    return (name or "").rpartition(".")[2]


def module_name(file: str) -> str:
    """The dotted name of a file: `src/openpi/shared/console.py` is `openpi.shared.console`."""
    inner = file.removeprefix("src/").removeprefix("gemma/").removesuffix(".py").removesuffix("/__init__")
    return inner.replace("/", ".")


def statements(scope: ast.AST) -> list[ast.stmt]:
    """The statements of a module, a class or a function, those in its conditions and loops too."""
    found, waiting = [], list(reversed(_blocks(scope)))
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, Definition):
            waiting += reversed(_blocks(node))
    return found


def _blocks(node: ast.AST) -> list[ast.stmt]:
    inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.ExceptHandler)]
    return [each for child in inner for each in ([child] if isinstance(child, ast.stmt) else child.body)]


def bound_names(node: ast.AST) -> list[str]:
    """The names that a statement binds."""
    if isinstance(node, Definition):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    targets: Sequence[ast.AST] = ()
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


def _catches(handler: ast.ExceptHandler, errors: set[str]) -> bool:
    """Whether a handler takes one of some errors, and does not raise another one in its place."""
    if any(isinstance(each, ast.Raise) for each in handler.body):
        return False
    return handler.type is None or _names_one(handler.type, errors)


def _suppresses(context: ast.expr, errors: set[str]) -> bool:
    """Whether a context manager is `suppress(…)` of one of some errors."""
    if (
        not isinstance(context, ast.Call)
        or getattr(context.func, "attr", getattr(context.func, "id", "")) != "suppress"
    ):
        return False
    return any(_names_one(each, errors) for each in context.args)


def _names_one(node: ast.AST, wanted: set[str]) -> bool:
    """Whether one of some names stands in an expression, by itself, in a tuple or as an attribute."""
    return any(getattr(each, "attr", getattr(each, "id", "")) in wanted for each in ast.walk(node))
