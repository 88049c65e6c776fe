"""Questions about modules and names that a file imports and does not get."""

import ast
from collections.abc import Sequence

from pistar_vf.faults.code import Code, module_name
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.source_tree import SourceTree


def missing_name(tree: SourceTree, user: str, module: str, name: str) -> Finding:
    """A file takes a name from a module of the checkout that does not bind it."""
    code = tree.code(user)
    uses = code.uses(module, name)
    if not uses:
        return _unused(code, module, name)
    if all(map(code.guarded, uses)):
        return fixed("where it is missing, that is caught or asked for first", place(user, uses[0]))
    return binding(tree, module, name)


def _unused(code: Code, module: str, name: str) -> Finding:
    named = [each for each in code.strings() if each.value == name]
    if named:
        return unknown(f"look whether `{name}` is taken from {module} by its name here", place(code.file, named[0]))
    if any(_is_star(each) and code.source(each) == module for each in code.all(ast.ImportFrom)):
        return unknown(f"look which names `from {module} import *` brings to {code.file}")
    return absent(f"{code.file} does not use `{name}` of {module}")


def binding(tree: SourceTree, module: str, name: str) -> Finding:
    """Whether a module of the checkout binds a name, itself or through another module."""
    file = tree.file_of(module)
    if file is None:
        return fault(f"there is no module {module}")
    code = tree.code(file)
    bound = code.bindings(name)
    if bound:
        return _bound(tree, code, bound[-1], name)
    dynamic = _dynamic(code)
    if dynamic is not None:
        return unknown(f"look whether this makes `{name}`", place(file, dynamic))
    return fault(f"{file} does not define `{name}`", file)


def _bound(tree: SourceTree, code: Code, statement: ast.AST, name: str) -> Finding:
    """A name that is imported counts where the other module has it."""
    at = place(code.file, statement)
    if isinstance(statement, ast.ImportFrom):
        source = code.source(statement)
        alias = next(each for each in statement.names if (each.asname or each.name) == name)
        if tree.file_of(source) is not None:
            there = binding(tree, source, alias.name)
            return there if there.verdict != "fixed" else fixed(f"it comes from {there.place}", at)
        if source.split(".")[0] == "openpi" and tree.file_of(f"{source}.{alias.name}") is None:
            return fault(f"it is imported from {source}, which is not there", at)
    return fixed(f"`{name}` is defined", at)


def _dynamic(code: Code) -> ast.AST | None:
    """What may bind names that no statement shows."""
    for node in code.nodes:
        if isinstance(node, ast.ImportFrom) and _is_star(node):
            return node
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__" and node in code.tree.body:
            return node
        if isinstance(node, ast.Call) and (code.origin(node.func) or "") in ("globals", "setattr", "exec"):
            return node
    return None


def _is_star(statement: ast.ImportFrom) -> bool:
    return any(alias.name == "*" for alias in statement.names)


def missing_member(tree: SourceTree, user: str, module: str, owner: str, name: str) -> Finding:
    """A file reads a member that a class of another module does not have."""
    code = tree.code(user)
    uses = code.uses(f"{module}.{owner}", name)
    if not uses:
        return absent(f"{user} does not use `{owner}.{name}`")
    file = tree.file_of(module)
    scope = tree.code(file).definition(owner)
    if scope is None:
        return unknown(f"look where `{owner}` of {module} is defined, and whether it has `{name}`", file)
    bound = tree.code(file).bindings(name, scope)
    if bound:
        return fixed(f"`{owner}.{name}` is there", place(file, bound[0]))
    return fault(f"`{owner}` has no `{name}`", place(file, scope))


def missing_module(tree: SourceTree, users: Sequence[str], package: str, name: str) -> Finding:
    """Files import a module of the checkout that is not there, or that lacks what they take from it."""
    findings = [_module_for(tree, tree.code(user), package, name) for user in users]
    return worst([each for each in findings if each is not None] or [absent(f"nothing imports {package}.{name}")])


def _module_for(tree: SourceTree, code: Code | None, package: str, name: str) -> Finding | None:
    module = f"{package}.{name}"
    uses = (
        []
        if code is None
        else [
            statement
            for statement in code.all(ast.Import, ast.ImportFrom)
            if not code.for_types_only(statement) and module in _imported_modules(code, statement)
        ]
    )
    if not uses:
        return None
    if all(map(code.guarded, uses)):
        return fixed("where it is missing, that is caught", place(code.file, uses[0]))
    file = tree.file_of(module)
    if file is None:
        bound = tree.file_of(package) and tree.code(tree.file_of(package)).bindings(name)
        if bound:
            return fixed(f"{package} makes `{name}`", place(tree.file_of(package), bound[-1]))
        return fault(f"there is no module {module}", place(code.file, uses[0]))
    return _attributes(tree, code, module, file)


def _imported_modules(code: Code, statement: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names}
    source = code.source(statement)
    return {source, *(f"{source}.{alias.name}" for alias in statement.names)}


def _attributes(tree: SourceTree, code: Code, module: str, file: str) -> Finding:
    """Whether a module has everything that a file takes from it."""
    meant = {code.origin(node) or "" for node in code.all(ast.Attribute)}
    meant |= {
        f"{module}.{alias.name}" for s in code.all(ast.ImportFrom) if code.source(s) == module for alias in s.names
    }
    taken = {name.removeprefix(f"{module}.").split(".")[0] for name in meant if name.startswith(f"{module}.")}
    judged = [binding(tree, module, name) for name in sorted(taken)]
    lacking = [each for each in judged if each.verdict in ("fault", "unknown")]
    return worst(lacking) if lacking else fixed(f"{module} is there", f"{file}:1")


def missing_package(tree: SourceTree, folder: str, package: str) -> Finding:
    """Files below a folder import a package of the checkout that is not there."""
    if not tree.python_files(folder):
        return absent(f"the checkout has no folder {folder}")
    parent, _, name = package.rpartition(".")
    spelled = (package.encode(), f"from {parent} import {name}".encode())
    users = [f for f in tree.python_files(folder) if any(each in (tree.read(f) or b"") for each in spelled)]
    outside = [user for user in users if not module_name(user).startswith(package)]
    inner = [_submodules(tree, tree.code(user), package) for user in outside]
    return worst([each for each in inner if each is not None] or [absent(f"nothing in {folder} imports {package}")])


def _submodules(tree: SourceTree, code: Code, package: str) -> Finding | None:
    """Whether the parts of a package that a file imports are there."""
    statements = [
        statement
        for statement in code.all(ast.Import, ast.ImportFrom)
        if not code.for_types_only(statement)
        and any(f"{each}.".startswith(f"{package}.") for each in _imported_modules(code, statement))
    ]
    for statement in statements:
        if code.guarded(statement):
            continue
        for module in sorted(_imported_modules(code, statement)):
            part = module.removeprefix(f"{package}").strip(".").split(".")[0]
            if module.startswith(f"{package}.") and tree.file_of(f"{package}.{part}") is None:
                found = binding(tree, package, part)
                if found.verdict != "fixed":
                    return found if found.verdict == "unknown" else fault(found.text, place(code.file, statement))
    if not statements:
        return None
    parts = [tree.file_of(f"{package}.{part}") for part in sorted(_parts(code, statements, package))]
    shown = next(filter(None, [tree.file_of(package), *parts]), code.file)
    return fixed(f"{package} is there", f"{shown}:1")


def _parts(code: Code, statements: Sequence[ast.Import | ast.ImportFrom], package: str) -> set[str]:
    modules = {module for statement in statements for module in _imported_modules(code, statement)}
    return {module.removeprefix(f"{package}.").split(".")[0] for module in modules if module.startswith(f"{package}.")}


def unavailable_import(tree: SourceTree, folder: str, module: str, name: str = "") -> Finding:
    """Files import a module, or a name of one, that the pinned version of a package does not have."""
    files = tree.python_files(folder) if not folder.endswith(".py") else [folder]
    spelled = module.rpartition(".")[2].encode()
    codes = [tree.code(file) for file in files if spelled in (tree.read(file) or b"")]
    judged = [each for code in codes for each in _unavailable(code, module, name)]
    wanted = f"`{name}` from {module}" if name else module
    return worst(judged or [absent(f"{folder} does not import {wanted}")])


def _unavailable(code: Code, module: str, name: str) -> list[Finding]:
    found = []
    for statement in code.all(ast.Import, ast.ImportFrom):
        modules = _imported_modules(code, statement)
        if (f"{module}.{name}" if name else module) not in modules or code.for_types_only(statement):
            continue
        at = place(code.file, statement)
        found.append(
            fixed("where it is missing, that is caught", at)
            if code.guarded(statement)
            else fault(
                f"{'`' + name + '` of ' if name else ''}{module} is imported, and the pinned version lacks it", at
            )
        )
    return found


def evaluated_name(tree: SourceTree, file: str, name: str) -> Finding:
    """A file evaluates a name that the pinned version of a package does not have."""
    code = tree.code(file)
    seen = [node for node in code.all(ast.Attribute, ast.Name) if code.origin(node) == name and _is_read(code, node)]
    evaluated = [node for node in seen if not _is_deferred(code, node) and not _has_fallback(code, node)]
    if evaluated:
        spelled = getattr(evaluated[0], "attr", getattr(evaluated[0], "id", ""))
        return fault(
            f"`{name}` is evaluated, and the pinned version lacks it", place(file, evaluated[0]), spelled=spelled
        )
    spared = [*seen, *(each for each in code.strings() if name.rpartition(".")[2] in each.value)]
    if spared:
        return fixed("it is not evaluated, or something takes its place", place(file, spared[0]))
    return absent(f"{file} does not use `{name}`")


def _is_read(code: Code, node: ast.AST) -> bool:
    return isinstance(node.ctx, ast.Load) and not isinstance(code.parents[node], ast.ImportFrom)


def _is_deferred(code: Code, node: ast.AST) -> bool:
    """Whether a reference is in an annotation that is kept as text, or under a guard."""
    if code.guarded(node) or code.for_types_only(node):
        return True
    as_text = any(
        code.source(s) == "__future__" and "annotations" in {a.name for a in s.names} for s in code.all(ast.ImportFrom)
    )
    return as_text and _is_annotation(code, node)


def _is_annotation(code: Code, node: ast.AST) -> bool:
    below = node
    for holder in code.above(node):
        if below in (getattr(holder, "annotation", None), getattr(holder, "returns", None)):
            return True
        below = holder
    return False


def _has_fallback(code: Code, node: ast.AST) -> bool:
    """Whether a plain name is bound to something else where the import fails, and that can be used the same way."""
    if not isinstance(node, ast.Name):
        return False
    others = [s for s in code.bindings(node.id) if not isinstance(s, ast.Import | ast.ImportFrom)]
    values = [each.value for each in others if isinstance(each, ast.Assign | ast.AnnAssign)]
    used = isinstance(code.parents[node], ast.Subscript | ast.Call | ast.Attribute)
    return bool(others) and not (used and any(isinstance(value, ast.Constant) for value in values))
