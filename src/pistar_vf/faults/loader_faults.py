"""Questions about the object that `create_value_data_loader` returns: its size, and what it yields."""

import ast
import dataclasses

from pistar_vf.faults.code import Code, Definition
from pistar_vf.faults.definitions import find_class, find_definition
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.loader_makers import LOADER, SCRIPT, asked_sizes, loader_function, of_function, own_maker
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.faults.yielded_keys import YieldedKeys, assigned

_HARMLESS = ("object", "Protocol", "Generic", "ABC", "DataLoader", "dataclass", "final")
"""Base classes and decorators that bring neither a size nor elements; `DataLoader` is the file's own protocol."""


@dataclasses.dataclass(frozen=True)
class Returned:
    """What a function may return.

    Attributes:
        scope: its class; None where it cannot be told.
        code: the file of the class.
        given: attributes that the function sets on the object.
        node: where it is made.
    """

    scope: ast.ClassDef | None
    code: Code
    given: frozenset[str]
    node: ast.AST


def _loaders(tree: SourceTree) -> tuple[str | None, list[Returned]]:
    """The function that makes the loader, and what it may return; nothing where there is no such function."""
    name, own = loader_function(tree), own_maker(tree)
    if own is not None:
        script = tree.existing(SCRIPT)
        return name, _called(tree, script, script.tree, own.func, 6) or [_nothing(script, own)]
    code = tree.existing(LOADER)
    if name is None or not code.bindings(name):
        return name, []
    return name, _called(tree, code, code.tree, ast.Name(name, ast.Load()), 6) or [
        _nothing(code, code.bindings(name)[-1])
    ]


def _nothing(code: Code, node: ast.AST) -> Returned:
    """Something of which nobody can tell what it is."""
    return Returned(None, code, frozenset(), node)


def _called(tree: SourceTree, code: Code, scope: ast.AST, called: ast.expr, depth: int) -> list[Returned]:
    """What a call of an expression returns: of a function, a class, `functools.partial` or a lambda."""
    if isinstance(called, ast.Lambda):
        return _made(tree, code, called, called.body, depth)
    if isinstance(called, ast.Call) and (code.origin(called.func) or "").endswith("partial") and called.args:
        return _called(tree, code, scope, called.args[0], depth)
    found = find_definition(tree, code, code.origin(called))
    if found is not None:
        return _returned(tree, *found, depth)
    if not isinstance(called, ast.Name) or not depth:
        return []
    values = assigned(code, scope, called.id) or assigned(code, code.tree, called.id)
    return _called(tree, code, scope, values[0], depth - 1) if len(values) == 1 else []


def _returned(tree: SourceTree, function: Definition, code: Code, depth: int) -> list[Returned]:
    if isinstance(function, ast.ClassDef):
        return [Returned(function, code, frozenset(), function)]
    own = [node for node in code.all(ast.Return, inside=function) if _scope_of(code, node) is function]
    made = [each for node in own if node.value is not None for each in _made(tree, code, function, node.value, depth)]
    return made or [_nothing(code, function)]


def _scope_of(code: Code, node: ast.AST) -> ast.AST | None:
    return next((each for each in code.above(node) if isinstance(each, Definition | ast.Lambda)), None)


def _made(tree: SourceTree, code: Code, function: ast.AST, node: ast.expr, depth: int) -> list[Returned]:
    """What an expression of a function may be."""
    nothing = [_nothing(code, node)]
    if not depth:
        return nothing
    if isinstance(node, ast.IfExp):
        return [each for part in (node.body, node.orelse) for each in _made(tree, code, function, part, depth - 1)]
    if isinstance(node, ast.Name):
        values = assigned(code, function, node.id)
        given = _attributes_set(code, function, node.id)
        made = [each for value in values for each in _made(tree, code, function, value, depth - 1)]
        return [dataclasses.replace(each, given=each.given | given) for each in made] or nothing
    if isinstance(node, ast.Call):
        return _called(tree, code, function, node.func, depth - 1) or nothing
    return nothing


def _attributes_set(code: Code, function: ast.AST, name: str) -> frozenset[str]:
    stored = [node for node in code.all(ast.Attribute, inside=function) if isinstance(node.ctx, ast.Store)]
    found = {node.attr for node in stored if isinstance(node.value, ast.Name) and node.value.id == name}
    for call in code.calls("setattr", inside=function):
        if len(call.args) > 1 and isinstance(call.args[0], ast.Name) and call.args[0].id == name:
            found |= {str(each.value) for each in call.args[1:2] if isinstance(each, ast.Constant)}
    return frozenset(found)


# --- its size ------------------------------------------------------------------------------------------------------


def loader_size(tree: SourceTree) -> Finding:
    """The script asks the loader for its dataset or its length, and it tells neither."""
    wanted = asked_sizes(tree)
    if not wanted:
        return absent(f"{SCRIPT} does not ask the loader for its size")
    name, loaders = _loaders(tree)
    if not loaders:
        return absent(f"there is no loader yet: {LOADER} has no function `{name or 'create_value_data_loader'}`")
    return worst([_sized(tree, each, wanted) for each in loaders])


def _sized(tree: SourceTree, loader: Returned, wanted: list[str]) -> Finding:
    at = place(loader.code.file, loader.node)
    if loader.scope is None:
        return unknown("look whether what is returned here has `dataset` and a length", at)
    found = {name: _attribute(tree, loader.code, loader.scope, name) for name in wanted if name not in loader.given}
    method = found.get("dataset")
    if isinstance(method, ast.FunctionDef) and not method.decorator_list and method.name == "dataset":
        return unknown("look whether the script calls this method", place(loader.code.file, method))
    if any(each == "unknown" for each in found.values()):
        return unknown(
            f"look whether the base classes or decorators of `{loader.scope.name}` bring {', '.join(found)}",
            place(loader.code.file, loader.scope),
        )
    lacking = [name for name, each in found.items() if each is None]
    if not lacking:
        shown = next((each for each in found.values() if isinstance(each, ast.AST)), loader.node)
        return fixed(f"the loader has {' and '.join(wanted)}", place(loader.code.file, shown))
    holds = isinstance(_attribute(tree, loader.code, loader.scope, "_data_loader"), ast.AST)
    here = holds and not loader.given and loader.code.file == LOADER
    parts = {"dataset": "dataset_class", "__len__": "length_class"}
    names = {parts[each]: loader.scope.name for each in lacking} if here else {}
    return fault(
        f"`{loader.scope.name}` has no {' and no '.join(lacking)}", place(loader.code.file, loader.scope), **names
    )


def _attribute(tree: SourceTree, code: Code, scope: ast.ClassDef, name: str) -> ast.AST | str | None:
    """Where a class gets an attribute; "unknown" where a base class of elsewhere may bring it, else None."""
    bound = code.bindings(name, scope)
    fields = [s for s in scope.body if isinstance(s, ast.AnnAssign) and getattr(s.target, "id", "") == name]
    stored = [
        node
        for node in code.all(ast.Attribute, inside=scope)
        if isinstance(node.ctx, ast.Store) and node.attr == name and getattr(node.value, "id", "") == "self"
    ]
    outside = [node for each in (code, tree.existing(SCRIPT)) for node, _ in each.replaced(scope.name, name)]
    delegates = [] if name.startswith("_") else code.bindings("__getattr__", scope)
    found: list[ast.AST] = [*bound, *fields, *stored, *outside, *delegates]
    return found[0] if found else _inherited(tree, code, scope, name)


def _inherited(tree: SourceTree, code: Code, scope: ast.ClassDef, name: str) -> ast.AST | str | None:
    made = [each.func if isinstance(each, ast.Call) else each for each in scope.decorator_list]
    strange = any((code.origin(each) or "").rpartition(".")[2] not in _HARMLESS for each in made)
    for base in scope.bases:
        origin = code.origin(base.value if isinstance(base, ast.Subscript) else base) or ""
        inner = find_class(tree, code, origin)
        if inner is None:
            strange |= origin.rpartition(".")[2] not in _HARMLESS
        elif not _is_protocol(inner[1], inner[0]):
            found = _attribute(tree, inner[1], inner[0], name)
            if found is not None:
                return found
    return "unknown" if strange else None


def _is_protocol(code: Code, scope: ast.ClassDef) -> bool:
    bases = [each.value if isinstance(each, ast.Subscript) else each for each in scope.bases]
    return any((code.origin(each) or "").endswith("Protocol") for each in bases)


# --- its elements --------------------------------------------------------------------------------------------------


def loader_items(tree: SourceTree) -> Finding:
    """The loader yields actions, where values are wanted."""
    name, loaders = _loaders(tree)
    if not loaders:
        return absent(f"there is no loader yet: {LOADER} has no function `{name or 'create_value_data_loader'}`")
    judged = worst([_yields(tree, each) for each in loaders])
    if judged.verdict == "fixed":
        return judged
    text, names = of_function(tree, judged.text, judged.names)
    return dataclasses.replace(judged, text=text, names=names)


def _yields(tree: SourceTree, loader: Returned) -> Finding:
    at = place(loader.code.file, loader.node)
    if loader.scope is None:
        return unknown("look whether what is returned here yields observations and values", at)
    method = _attribute(tree, loader.code, loader.scope, "__iter__")
    if not isinstance(method, ast.FunctionDef):
        return unknown(f"look what `{loader.scope.name}` yields", place(loader.code.file, loader.scope))
    keys = YieldedKeys(loader.code, loader.scope).of(method)
    at = place(loader.code.file, method)
    if "value" in keys:
        return fixed("the loader yields `value`", at)
    if "actions" in keys:
        names = {"loader_class": loader.scope.name} if loader.code.file == LOADER else {}
        return fault(f"`{loader.scope.name}` yields `actions`", at, **names)
    return unknown(f"look whether `{loader.scope.name}` yields observations and values here", at)
