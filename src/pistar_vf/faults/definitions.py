"""Where functions and classes are defined: in the file itself, or in another module of the checkout."""

import ast

from pistar_vf.faults.code import Code, Definition
from pistar_vf.faults.source_tree import SourceTree


def find_definition(tree: SourceTree, code: Code, name: str | None, depth: int = 4) -> tuple[Definition, Code] | None:
    """The definition that a dotted name means in a file, and the file that holds it.

    Args:
        tree: the checkout.
        code: the file that uses the name.
        name: what `Code.origin` says of it; None is nowhere.
        depth: through how many imports it is followed.
    """
    if name is None:
        return None
    found = code.definition(name)
    if found is not None:
        return found, code
    module, _, last = name.rpartition(".")
    file = tree.file_of(module) if module else None
    if file is None or not depth:
        return None
    other = tree.existing(file)
    return find_definition(tree, other, other.origin(ast.Name(last, ast.Load())), depth - 1)


def find_class(tree: SourceTree, code: Code, name: str | None) -> tuple[ast.ClassDef, Code] | None:
    """`find_definition`, where that is a class."""
    found = find_definition(tree, code, name)
    return (found[0], found[1]) if found is not None and isinstance(found[0], ast.ClassDef) else None


def bases_of(tree: SourceTree, code: Code, scope: ast.ClassDef) -> list[tuple[ast.ClassDef, Code]]:
    """The base classes of a class that are defined in the checkout."""
    plain = [base.value if isinstance(base, ast.Subscript) else base for base in scope.bases]
    found = [find_class(tree, code, code.origin(base)) for base in plain]
    return [each for each in found if each is not None and each[0] is not scope]
