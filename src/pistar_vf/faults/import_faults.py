"""Questions about names that a file imports, or evaluates, and does not get."""

import ast
import dataclasses

from pistar_vf.faults.code import Code
from pistar_vf.faults.definitions import find_definition
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.source_tree import SourceTree


def missing_name(tree: SourceTree, user: str, module: str, name: str) -> Finding:
    """A file takes a name from a module of the checkout that does not bind it."""
    code = tree.existing(user)
    uses = code.uses(module, name)
    if not uses:
        return _unused(code, module, name)
    if all(code.guarded(each, f"{module}.{name}") for each in uses):
        return fixed("where it is missing, that is caught or asked for first", place(user, uses[0]))
    return binding(tree, module, name)


def _unused(code: Code, module: str, name: str) -> Finding:
    named = _mentions(code, name)
    if named:
        return unknown(f"look whether `{name}` is taken from {module} here", place(code.file, named[0]))
    if any(_is_star(each) and code.source(each) == module for each in code.all(ast.ImportFrom)):
        return unknown(f"look which names `from {module} import *` brings to {code.file}")
    return absent(f"{code.file} does not use `{name}` of {module}")


def _mentions(code: Code, name: str) -> list[ast.AST]:
    """Where a name stands that is not known to mean something else: an attribute, or a string."""
    attributes = [node for node in code.all(ast.Attribute) if node.attr == name and _is_open(code, node)]
    return [*attributes, *(text.node for text in code.strings() if text.value == name)]


def _is_open(code: Code, node: ast.Attribute) -> bool:
    """Whether nobody can tell what owns an attribute: the result of a call, for example."""
    return code.origin(node) is None


def binding(tree: SourceTree, module: str, name: str, depth: int = 4) -> Finding:
    """Whether a module of the checkout binds a name, itself or through another module, so many imports away."""
    file = tree.file_of(module)
    if file is None:
        return fault(f"there is no module {module}")
    code = tree.existing(file)
    bound = code.bindings(name)
    if bound:
        return _bound(tree, code, bound[-1], name, depth)
    sources = [code.source(each) for each in code.all(ast.ImportFrom) if _is_star(each)] if depth else []
    for source in sources:
        if tree.file_of(source) is not None and (there := binding(tree, source, name, depth - 1)).verdict == "fixed":
            return there
    dynamic = _dynamic(code)
    if dynamic is not None:
        return unknown(f"look whether this makes `{name}`", place(file, dynamic))
    return fault(f"nothing here defines `{name}`", file)


def _bound(tree: SourceTree, code: Code, statement: ast.AST, name: str, depth: int) -> Finding:
    """A name that is imported counts where the other module has it."""
    at = place(code.file, statement)
    if isinstance(statement, ast.ImportFrom):
        source = code.source(statement)
        alias = next(each for each in statement.names if (each.asname or each.name) == name)
        if tree.file_of(source) is not None:
            if not depth:
                return unknown(f"look where `{name}` comes from", at)
            there = binding(tree, source, alias.name, depth - 1)
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
    code = tree.existing(user)
    uses = code.uses(f"{module}.{owner}", name)
    if not uses:
        named = _mentions(code, name)
        text = f"look whether `{name}` is taken from `{owner}` of {module} here"
        return unknown(text, place(user, named[0])) if named else absent(f"{user} does not use `{owner}.{name}`")
    found = find_definition(tree, code, f"{module}.{owner}")
    if found is None:
        text = f"look where `{owner}` of {module} is defined, and whether it has `{name}`"
        return unknown(text, tree.file_of(module) or "")
    scope, holder = found
    bound = holder.bindings(name, scope)
    if bound:
        return fixed(f"`{owner}.{name}` is there", place(holder.file, bound[0]))
    return fault(f"`{owner}` has no `{name}`", place(holder.file, scope))


def imported_modules(code: Code, statement: ast.Import | ast.ImportFrom) -> set[str]:
    """The modules that a statement imports, and what may be modules among the names that it takes."""
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names}
    source = code.source(statement)
    return {source, *(f"{source}.{alias.name}" for alias in statement.names)}


def unavailable_import(tree: SourceTree, folder: str, module: str, name: str = "") -> Finding:
    """Files import a module, or a name of one, that the pinned version of a package does not have."""
    judged = {code.file: _unavailable(code, module, name) for code in _mentioning(tree, folder, module)}
    faulty = [file for file, found in judged.items() if worst([*found, absent("")]).verdict == "fault"]
    wanted = f"`{name}` from {module}" if name else module
    every = [each for found in judged.values() for each in found]
    decided = worst(every or [absent(f"{folder} does not import {wanted}")])
    return dataclasses.replace(decided, names={"importing_files": " ".join(faulty)} if faulty else {})


def _mentioning(tree: SourceTree, folder: str, name: str) -> list[Code]:
    """The files below a folder in which the last part of a dotted name stands."""
    spelled = name.rpartition(".")[2].encode()
    return [tree.existing(file) for file in tree.python_files(folder) if spelled in (tree.read(file) or b"")]


def _unavailable(code: Code, module: str, name: str) -> list[Finding]:
    found = []
    for statement in code.all(ast.Import, ast.ImportFrom):
        modules = imported_modules(code, statement)
        if (f"{module}.{name}" if name else module) not in modules or code.for_types_only(statement):
            continue
        at = place(code.file, statement)
        found.append(
            fixed("where it is missing, that is caught", at)
            if code.guarded(statement, f"{module}.{name}" if name else module)
            else fault(
                f"{'`' + name + '` of ' if name else ''}{module} is imported, and the pinned version lacks it", at
            )
        )
    named = [text.node for text in code.strings() if text.value == module]
    return found + [unknown(f"look whether {module} is imported here", place(code.file, each)) for each in named]


def evaluated_name(tree: SourceTree, folder: str, name: str) -> Finding:
    """Files evaluate a name that the pinned version of a package does not have."""
    judged = [_evaluated(code, name) for code in _mentioning(tree, folder, name)]
    faulty = [each for each in judged if each.verdict == "fault"]
    decided = worst(judged or [absent(f"nothing in {folder} uses `{name}`")])
    files = " ".join(each.place.rpartition(":")[0] for each in faulty)
    return dataclasses.replace(decided, names={**decided.names, "evaluating_files": files}) if faulty else decided


def _evaluated(code: Code, name: str) -> Finding:
    file = code.file
    meant = [node for node in code.all(ast.Attribute, ast.Name) if code.origin(node) == name]
    made = [node for node in meant if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
    if made:
        return fixed("the name is put there first", place(file, made[0]))
    seen = [node for node in meant if _is_read(code, node)]
    evaluated = [node for node in seen if not _is_deferred(code, node) and not _has_fallback(code, node)]
    if evaluated:
        spelled = getattr(evaluated[0], "attr", getattr(evaluated[0], "id", ""))
        return fault(
            f"`{name}` is evaluated, and the pinned version lacks it", place(file, evaluated[0]), spelled=spelled
        )
    last = name.rpartition(".")[2]
    asked = [call for call in code.calls("getattr") if len(call.args) == 2 and last in ast.dump(call.args[1])]
    if asked:
        return unknown(f"look whether `{name}` is taken here by its name", place(file, asked[0]))
    spared = [*seen, *(text.node for text in code.strings() if last in text.value)]
    if spared:
        return fixed("it is not evaluated, or something takes its place", place(file, spared[0]))
    return absent(f"{file} does not use `{name}`")


def _is_read(code: Code, node: ast.Attribute | ast.Name) -> bool:
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
