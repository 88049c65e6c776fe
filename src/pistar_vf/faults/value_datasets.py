"""Where the loader opens a dataset by the fork's own reader, `ValueDataset`."""

import ast

from pistar_vf.faults.code import Code
from pistar_vf.faults.config_calls import function_of
from pistar_vf.faults.definitions import find_class
from pistar_vf.faults.source_tree import SourceTree

LOADER = "src/openpi/training/data_loader.py"
READER = "openpi.training.value_data_loader"
_OPENS = "create_torch_dataset"


def value_datasets(tree: SourceTree) -> list[ast.Call]:
    """The calls by which the loader opens a `ValueDataset`, in functions of its own too."""
    loader = tree.existing(LOADER)
    opens = loader.definition(_OPENS)
    called = loader.all(ast.Call, inside=opens) if opens is not None else []
    inner = {_OPENS, *(loader.origin(call.func) or "" for call in called)}
    opened = [call for call in loader.all(ast.Call) if function_of(loader, call) in inner]
    return [call for call in opened if _is_of_reader(tree, loader, call)]


def _is_of_reader(tree: SourceTree, loader: Code, call: ast.Call) -> bool:
    """Whether a call makes `ValueDataset`, or a class of its module that gives frames by their place."""
    meant = loader.origin(call.func) or ""
    if meant == f"{READER}.ValueDataset":
        return True
    found = find_class(tree, loader, meant)
    here = found is not None and found[1].file == tree.file_of(READER)
    return found is not None and here and bool(found[1].bindings("__getitem__", found[0]))


def fixed_columns(reader: Code) -> list[str]:
    """The columns `image` and `value`, those of them that the reader asks for, as code."""
    scope = reader.definition("ValueDataset") or reader.tree
    keys = [node.slice for node in reader.all(ast.Subscript, inside=scope)]
    found = {str(key.value) for key in keys if isinstance(key, ast.Constant)} & {"image", "value"}
    return sorted(f"`{name}`" for name in found)
