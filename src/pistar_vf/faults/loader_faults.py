"""Questions about the object that `create_value_data_loader` returns: its size, and what it yields."""

import ast
import dataclasses

from pistar_vf.faults.code import Code, Definition
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.source_tree import SourceTree

LOADER = "src/openpi/training/data_loader.py"
SCRIPT = "scripts/train_value.py"
_MODULE = "openpi.training.data_loader"
_HARMLESS = ("object", "Protocol", "Generic", "ABC", "DataLoader")
"""Base classes that bring neither a size nor elements; `DataLoader` is the file's own protocol."""


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


def loader_function(tree: SourceTree) -> str | None:
    """The function of the loader's module that the script calls for its batches."""
    code = tree.code(SCRIPT)
    called = [code.origin(call.func) or "" for call in code.all(ast.Call)]
    names = [name.removeprefix(f"{_MODULE}.") for name in called if name.startswith(f"{_MODULE}.")]
    return next((name for name in names if "loader" in name.lower()), None)


def _loaders(tree: SourceTree) -> tuple[str | None, list[Returned]]:
    name = loader_function(tree)
    code = tree.code(LOADER)
    scope = None if name is None else code.definition(name)
    if not isinstance(scope, ast.FunctionDef):
        return name, []
    return name, _returned(code, scope, 6)


def _returned(code: Code, function: ast.AST, depth: int) -> list[Returned]:
    if isinstance(function, ast.ClassDef):
        return [Returned(function, code, frozenset(), function)]
    own = [node for node in code.all(ast.Return, inside=function) if _scope_of(code, node) is function]
    made = [each for node in own if node.value is not None for each in _made(code, function, node.value, depth)]
    return made or [Returned(None, code, frozenset(), function)]


def _scope_of(code: Code, node: ast.AST) -> ast.AST | None:
    return next((each for each in code.above(node) if isinstance(each, Definition | ast.Lambda)), None)


def _made(code: Code, function: ast.AST, node: ast.expr, depth: int) -> list[Returned]:
    """What an expression of a function may be."""
    nothing = [Returned(None, code, frozenset(), node)]
    if not depth:
        return nothing
    if isinstance(node, ast.IfExp):
        return [*_made(code, function, node.body, depth - 1), *_made(code, function, node.orelse, depth - 1)]
    if isinstance(node, ast.Name):
        values = _assigned(code, function, node.id)
        given = _attributes_set(code, function, node.id)
        made = [each for value in values for each in _made(code, function, value, depth - 1)]
        return [dataclasses.replace(each, given=each.given | given) for each in made] or nothing
    if isinstance(node, ast.Call):
        target = _target(code, function, node)
        return nothing if target is None else _returned(code, target, depth - 1)
    return nothing


def _assigned(code: Code, function: ast.AST, name: str) -> list[ast.expr]:
    found = []
    for node in code.all(ast.Assign, ast.AnnAssign, inside=function):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is not None and any(isinstance(each, ast.Name) and each.id == name for each in targets):
            found.append(node.value)
    return found


def _attributes_set(code: Code, function: ast.AST, name: str) -> frozenset[str]:
    stored = [node for node in code.all(ast.Attribute, inside=function) if isinstance(node.ctx, ast.Store)]
    found = {node.attr for node in stored if isinstance(node.value, ast.Name) and node.value.id == name}
    for call in code.calls("setattr", inside=function):
        if len(call.args) > 1 and isinstance(call.args[0], ast.Name) and call.args[0].id == name:
            found |= {each.value for each in call.args[1:2] if isinstance(each, ast.Constant)}
    return frozenset(found)


def _target(code: Code, function: ast.AST, call: ast.Call) -> ast.AST | None:
    """The function or class that a call calls, through `functools.partial` too."""
    called: ast.expr | None = call.func
    if isinstance(called, ast.Name) and code.definition(called.id) is None:
        values = _assigned(code, function, called.id) or [code.aliases.get(called.id)]
        called = values[0] if len(values) == 1 else None
    if isinstance(called, ast.Call) and (code.origin(called.func) or "").endswith("partial") and called.args:
        called = called.args[0]
    name = None if called is None else code.origin(called)
    return None if name is None else code.definition(name)


# --- its size ------------------------------------------------------------------------------------------------------


def loader_size(tree: SourceTree) -> Finding:
    """The script asks the loader for its dataset or its length, and it tells neither."""
    wanted = _asked(tree.code(SCRIPT))
    if not wanted:
        return absent(f"{SCRIPT} does not ask the loader for its size")
    name, loaders = _loaders(tree)
    if not loaders:
        return absent(f"there is no loader yet: {LOADER} has no function `{name or 'create_value_data_loader'}`")
    return worst([_sized(each, wanted) for each in loaders])


def _asked(code: Code) -> list[str]:
    """`dataset` and `__len__`, those of them that the script uses of a loader."""
    held = {
        name
        for name, value in code.aliases.items()
        if (isinstance(value, ast.Call) and (code.origin(value.func) or "").startswith(f"{_MODULE}."))
    }
    of_loader = [node for node in code.all(ast.Attribute) if isinstance(node.value, ast.Name) and node.value.id in held]
    sized = [call.args[0] for call in code.calls("len") if call.args]
    found = ["dataset"] if any(node.attr == "dataset" for node in of_loader) else []
    return found + (["__len__"] if any(isinstance(each, ast.Name) and each.id in held for each in sized) else [])


def _sized(loader: Returned, wanted: list[str]) -> Finding:
    at = place(loader.code.file, loader.node)
    if loader.scope is None:
        return unknown("look whether what is returned here has `dataset` and a length", at)
    found = {name: _attribute(loader.code, loader.scope, name) for name in wanted if name not in loader.given}
    if any(each == "unknown" for each in found.values()):
        return unknown(
            f"look whether the base classes of `{loader.scope.name}` bring {', '.join(found)}",
            place(loader.code.file, loader.scope),
        )
    lacking = [name for name, each in found.items() if each is None]
    if not lacking:
        shown = next((each for each in found.values() if isinstance(each, ast.AST)), loader.node)
        return fixed(f"the loader has {' and '.join(wanted)}", place(loader.code.file, shown))
    holds = _attribute(loader.code, loader.scope, "_data_loader")
    names = {"loader_class": loader.scope.name} if isinstance(holds, ast.AST) and not loader.given else {}
    return fault(
        f"`{loader.scope.name}` has no {' and no '.join(lacking)}", place(loader.code.file, loader.scope), **names
    )


def _attribute(code: Code, scope: ast.ClassDef, name: str) -> ast.AST | str | None:
    """Where a class gets an attribute; "unknown" where a base class of elsewhere may bring it, else None."""
    bound = code.bindings(name, scope)
    fields = [s for s in scope.body if isinstance(s, ast.AnnAssign) and getattr(s.target, "id", "") == name]
    stored = [
        node
        for node in code.all(ast.Attribute, inside=scope)
        if isinstance(node.ctx, ast.Store) and node.attr == name and getattr(node.value, "id", "") == "self"
    ]
    outside = [
        node
        for node in code.all(ast.Attribute)
        if isinstance(node.ctx, ast.Store) and node.attr == name and getattr(node.value, "id", "") == scope.name
    ]
    delegates = [] if name.startswith("_") else code.bindings("__getattr__", scope)
    for found in (bound, fields, stored, outside, delegates):
        if found:
            return found[0]
    return _inherited(code, scope, name)


def _inherited(code: Code, scope: ast.ClassDef, name: str) -> ast.AST | str | None:
    strange = False
    for base in scope.bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        origin = code.origin(base) or ""
        inner = code.definition(origin)
        if isinstance(inner, ast.ClassDef):
            if any(
                (code.origin(each.value if isinstance(each, ast.Subscript) else each) or "").endswith("Protocol")
                for each in inner.bases
            ):
                continue
            found = _attribute(code, inner, name)
            if found is not None:
                return found
        elif origin.rpartition(".")[2] not in _HARMLESS:
            strange = True
    return "unknown" if strange else None


# --- its elements --------------------------------------------------------------------------------------------------


def loader_items(tree: SourceTree) -> Finding:
    """The loader yields actions, where values are wanted."""
    name, loaders = _loaders(tree)
    if not loaders:
        return absent(f"there is no loader yet: {LOADER} has no function `{name or 'create_value_data_loader'}`")
    judged = worst([_yields(each) for each in loaders])
    return dataclasses.replace(judged, names={**judged.names, "loader_function": name})


def _yields(loader: Returned) -> Finding:
    at = place(loader.code.file, loader.node)
    if loader.scope is None:
        return unknown("look whether what is returned here yields observations and values", at)
    method = _attribute(loader.code, loader.scope, "__iter__")
    if not isinstance(method, ast.FunctionDef):
        return unknown(f"look what `{loader.scope.name}` yields", place(loader.code.file, loader.scope))
    seen = [_second(loader.code, loader.scope, method, node) for node in _elements(loader.code, method)]
    keys = {key for each in seen for key in each}
    at = place(loader.code.file, method)
    if "value" in keys:
        return fixed("the loader yields `value`", at)
    if "actions" in keys:
        return fault(f"`{loader.scope.name}` yields `actions`", at, loader_class=loader.scope.name)
    return unknown(f"look whether `{loader.scope.name}` yields observations and values here", at)


def _elements(code: Code, method: ast.FunctionDef) -> list[ast.expr]:
    """What a method yields, or what the generator that it returns yields."""
    yielded = [node.value for node in code.all(ast.Yield, inside=method) if node.value is not None]
    returned = [node.value for node in code.all(ast.Return, inside=method)]
    inner = [each.elt for value in returned if value for each in ast.walk(value) if isinstance(each, ast.GeneratorExp)]
    return yielded + inner


def _second(code: Code, scope: ast.ClassDef, method: ast.AST, node: ast.expr, depth: int = 3) -> set[str]:
    """The keys that the second part of a yielded pair is read from."""
    if isinstance(node, ast.Tuple) and len(node.elts) == 2:
        return _keys(code, method, node.elts[1], depth)
    if not depth:
        return set()
    if isinstance(node, ast.Name):
        return {
            key for value in _assigned(code, method, node.id) for key in _second(code, scope, method, value, depth - 1)
        }
    if isinstance(node, ast.Call):
        name = (code.origin(node.func) or "").removeprefix("self.")
        target = code.definition(f"{code.path(scope)}.{name}") or code.definition(name)
        if isinstance(target, ast.FunctionDef):
            returned = [each.value for each in code.all(ast.Return, inside=target) if each.value is not None]
            return {key for each in returned for key in _second(code, scope, target, each, depth - 1)}
    return set()


def _keys(code: Code, method: ast.AST, node: ast.expr, depth: int) -> set[str]:
    found = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    if not found and depth:
        names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
        values = [value for name in names for value in _assigned(code, method, name)]
        return {key for value in values for key in _keys(code, method, value, depth - 1)}
    constants = {name: value.value for name, value in code.aliases.items() if isinstance(value, ast.Constant)}
    return found | {
        constants[each.id] for each in ast.walk(node) if isinstance(each, ast.Name) and each.id in constants
    }
