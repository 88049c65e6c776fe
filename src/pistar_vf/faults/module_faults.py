"""Questions about modules and packages of the checkout that files import and do not get."""

import ast
from collections.abc import Sequence

from pistar_vf.faults.code import Code, module_name
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.import_faults import binding, imported_modules
from pistar_vf.faults.source_tree import SourceTree


def missing_module(tree: SourceTree, users: Sequence[str], package: str, name: str) -> Finding:
    """Files import a module of the checkout that is not there, or that lacks what they take from it."""
    findings = [_module_for(tree, tree.existing(user), package, name) for user in users]
    return worst([each for each in findings if each is not None] or [absent(f"nothing imports {package}.{name}")])


def _module_for(tree: SourceTree, code: Code, package: str, name: str) -> Finding | None:
    module = f"{package}.{name}"
    uses = _uses_of_module(code, module)
    if not uses:
        named = [text.node for text in code.strings() if text.value in (module, f".{name}")]
        return unknown(f"look whether {module} is imported here", place(code.file, named[0])) if named else None
    if all(code.guarded(each, module) for each in uses):
        return fixed("where it is missing, that is caught", place(code.file, uses[0]))
    file = tree.file_of(module)
    if file is not None:
        return _attributes(tree, code, module, file)
    holder = tree.file_of(package)
    bound = tree.existing(holder).bindings(name) if holder is not None else []
    if holder is not None and bound:
        return fixed(f"{package} makes `{name}`", place(holder, bound[-1]))
    return fault(f"there is no module {module}", place(code.file, uses[0]))


def _uses_of_module(code: Code, module: str) -> list[ast.AST]:
    """Where a module is imported, or read as an attribute of its package."""
    imports: list[ast.AST] = [
        statement
        for statement in code.all(ast.Import, ast.ImportFrom)
        if not code.for_types_only(statement) and module in imported_modules(code, statement)
    ]
    return imports or [node for node in code.all(ast.Attribute) if code.origin(node) == module]


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
    spelled = package.rpartition(".")[2].encode()
    users = [file for file in tree.python_files(folder) if spelled in (tree.read(file) or b"")]
    outside = [user for user in users if not module_name(user).startswith(package)]
    codes = [tree.existing(user) for user in outside]
    inner = [_submodules(tree, code, package) for code in codes]
    own = [tree.existing(file) for file in tree.python_files(_folder(package))]
    inner += [_not_loaded(tree, [*codes, *own], code, package) for code in codes]
    return worst([each for each in inner if each is not None] or [absent(f"nothing in {folder} imports {package}")])


def _not_loaded(tree: SourceTree, codes: Sequence[Code], code: Code, package: str) -> Finding | None:
    """A module that is read as an attribute of its package, where nothing imports it: Python does not by itself."""
    imported = {
        module
        for each in codes
        for statement in each.all(ast.Import, ast.ImportFrom)
        for module in imported_modules(each, statement)
    }
    holder = tree.file_of(package)
    for node in code.all(ast.Attribute):
        module = code.origin(node) or ""
        part = module.removeprefix(f"{package}.")
        if part == module or "." in part or module in imported or tree.file_of(module) is None or code.guarded(node):
            continue
        if holder is not None and not tree.existing(holder).bindings(part):
            return fault(f"nothing imports {module}, which is read as an attribute", place(code.file, node))
    return None


def _submodules(tree: SourceTree, code: Code, package: str) -> Finding | None:
    """Whether the parts of a package that a file imports are there."""
    statements = [
        statement
        for statement in code.all(ast.Import, ast.ImportFrom)
        if not code.for_types_only(statement)
        and any(f"{each}.".startswith(f"{package}.") for each in imported_modules(code, statement))
    ]
    lacking = [
        found
        for statement in statements
        if not code.guarded(statement)
        for module in sorted(imported_modules(code, statement))
        for found in [_lacking(tree, code, statement, module, package)]
        if found is not None
    ]
    if lacking:
        return lacking[0]
    if not statements:
        named = [text.node for text in code.strings() if f"{text.value}.".startswith(f"{package}.")]
        return unknown(f"look whether {package} is imported here", place(code.file, named[0])) if named else None
    parts = [tree.file_of(f"{package}.{part}") for part in sorted(_parts(code, statements, package))]
    shown = next(filter(None, [tree.file_of(package), *parts]), code.file)
    return fixed(f"{package} is there", f"{shown}:1")


def _lacking(tree: SourceTree, code: Code, statement: ast.AST, module: str, package: str) -> Finding | None:
    """What speaks against one module that an import names, where it is the package or a part of it."""
    if module == package:
        return None if _is_there(tree, package) else fault(f"there is no module {package}", place(code.file, statement))
    part = module.removeprefix(f"{package}.").split(".")[0]
    if not module.startswith(f"{package}.") or tree.file_of(f"{package}.{part}") is not None:
        return None
    found = binding(tree, package, part)
    if found.verdict == "fixed":
        return None
    return found if found.verdict == "unknown" else fault(found.text, place(code.file, statement))


def _folder(package: str) -> str:
    return f"gemma/{package.replace('.', '/')}"


def _is_there(tree: SourceTree, package: str) -> bool:
    """Whether a package has a file or a folder, or is made by the one that holds it."""
    parent, _, name = package.rpartition(".")
    holder = tree.file_of(parent)
    if holder is not None and tree.existing(holder).bindings(name):
        return True
    return tree.file_of(package) is not None or bool(tree.python_files(_folder(package)))


def _parts(code: Code, statements: Sequence[ast.Import | ast.ImportFrom], package: str) -> set[str]:
    modules = {module for statement in statements for module in imported_modules(code, statement)}
    return {module.removeprefix(f"{package}.").split(".")[0] for module in modules if module.startswith(f"{package}.")}
