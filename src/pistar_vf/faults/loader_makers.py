"""What makes the loader that the training script uses, what is asked of it, and who else gets one from there."""

import ast
from collections.abc import Mapping

from pistar_vf.faults.code import Code, Definition
from pistar_vf.faults.definitions import find_definition
from pistar_vf.faults.source_tree import SourceTree

LOADER = "src/openpi/training/data_loader.py"
SCRIPT = "scripts/train_value.py"
LABELLING = "scripts/label_advantage_from_vlm.py"
_MODULE = "openpi.training.data_loader"


def loader_function(tree: SourceTree) -> str | None:
    """The function of the loader's module that the script calls for its batches."""
    names = [name for call in tree.existing(SCRIPT).all(ast.Call) if (name := _asked_for(tree.existing(SCRIPT), call))]
    return names[0] if names else None


def _asked_for(code: Code, call: ast.Call) -> str:
    """The function of the loader's module by which a call gets a loader; "" for other calls."""
    meant = code.origin(call.func) or ""
    name = meant.removeprefix(f"{_MODULE}.")
    return name if name != meant and "loader" in name.lower() else ""


def own_maker(tree: SourceTree) -> ast.Call | None:
    """The script's call by which it gets a loader of its own, into which it puts that of the loader's module."""
    code = tree.existing(SCRIPT)
    for name, call in code.aliases.items():
        if isinstance(call, ast.Call) and not _asked_for(code, call) and _is_asked(code, name):
            found = find_definition(tree, code, code.origin(call.func))
            if found is not None and (_holds_loader(code, call) or _holds_loader(found[1], found[0])):
                return call
    return None


def _holds_loader(code: Code, part: ast.AST) -> bool:
    """Whether a loader is asked for in a part of a file, or a variable that holds one is used there."""
    calls = code.all(ast.Call, inside=part)
    names = {each.id for each in code.all(ast.Name, inside=part) if isinstance(each.ctx, ast.Load)}
    calls += [value for name in names if isinstance(value := code.aliases.get(name), ast.Call)]
    return any(_asked_for(code, call) for call in calls)


def _is_asked(code: Code, name: str) -> bool:
    """Whether a variable is asked for its dataset or its length, or gone through."""
    gone_through = [each.iter for each in code.all(ast.For, ast.comprehension)]
    given = [call.args[0] for call in code.calls("len", "iter", "enumerate") if call.args]
    owners = [each.value for each in code.all(ast.Attribute) if each.attr == "dataset"]
    return any(isinstance(each, ast.Name) and each.id == name for each in (*gone_through, *given, *owners))


def asked_sizes(tree: SourceTree) -> list[str]:
    """`dataset` and `__len__`, those of them that the script uses of a loader."""
    code, own = tree.existing(SCRIPT), own_maker(tree)
    made = [(name, value) for name, value in code.aliases.items() if isinstance(value, ast.Call)]
    held = {name for name, call in made if (call is own if own is not None else _asked_for(code, call))}
    of_loader = [node for node in code.all(ast.Attribute) if isinstance(node.value, ast.Name) and node.value.id in held]
    sized = [call.args[0] for call in code.calls("len") if call.args]
    found = ["dataset"] if any(node.attr == "dataset" for node in of_loader) else []
    return found + (["__len__"] if any(isinstance(each, ast.Name) and each.id in held for each in sized) else [])


def of_function(tree: SourceTree, text: str, names: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """What is said of a loader, and the names of its parts, with the function that returns it.

    A function that also serves others is not named: what is changed for the values would be changed for them.
    """
    name = loader_function(tree) or ""
    others = _also_serves(tree, name) if name else ""
    if others:
        return f"{text}; `{name}`, which returns it, also serves {others}", dict(names)
    return text, {**names, "loader_function": name}


def _also_serves(tree: SourceTree, name: str) -> str:
    """Who else gets loaders from a function of the loader's module: a file, or a function of it; "" for nobody."""
    loader = tree.existing(LOADER)
    for call in loader.all(ast.Call):
        holder = next((each for each in loader.above(call) if isinstance(each, Definition)), None)
        if loader.origin(call.func) == name and getattr(holder, "name", "") != name:
            return f"`{loader.path(holder)}`" if holder is not None else LOADER
    others = [code for code in tree.spelling(name) if code.file not in (SCRIPT, LABELLING, LOADER)]
    users = [code.file for code in others if code.uses(_MODULE, name) and "test" not in code.file.rpartition("/")[2]]
    return users[0] if users else ""
