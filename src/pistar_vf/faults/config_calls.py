"""How a script makes its `DataConfig`: the calls, through classes derived from it, `partial` and `replace` too."""

import ast
import dataclasses

from pistar_vf.faults.code import Code, Definition
from pistar_vf.faults.definitions import bases_of, find_class
from pistar_vf.faults.source_tree import SourceTree

CONFIG = "src/openpi/training/config.py"
_NAME = "openpi.training.config.DataConfig"
Keywords = dict[str, ast.expr | None]


@dataclasses.dataclass(frozen=True)
class ConfigCall:
    """One call of `DataConfig`.

    Attributes:
        node: the call.
        keywords: keyword to its value, those of a dictionary that is unpacked too; None where the value is not seen.
        complete: whether every keyword is known.
        unpacked: the keywords that the call does not write out itself.
        owner: the class that is made and its file; None where it is not found.
    """

    node: ast.Call
    keywords: Keywords
    complete: bool
    unpacked: frozenset[str]
    owner: tuple[ast.ClassDef, Code] | None


def config_calls(tree: SourceTree, code: Code) -> list[ConfigCall]:
    """What makes a `DataConfig` in a script, and the copies of others that it gets."""
    found = [_config_call(tree, code, call) for call in code.all(ast.Call) if _makes_config(tree, code, call.func)]
    copied = {copy for each in found for copy in _copies(code, each.node)}
    partial = [call for call in code.calls("partial") if call.args and _makes_config(tree, code, call.args[0])]
    other = [call for call in code.calls("dataclasses.replace") if call not in copied and _names_a_field(call)]
    held = [ConfigCall(call, (k := _keywords(call)), True, frozenset(k), _class(tree)) for call in partial]
    return [*found, *held, *(ConfigCall(c, (k := _keywords(c)), False, frozenset(k), _class(tree)) for c in other)]


def _class(tree: SourceTree) -> tuple[ast.ClassDef, Code] | None:
    return find_class(tree, tree.existing(CONFIG), "DataConfig")


def _makes_config(tree: SourceTree, code: Code, called: ast.expr) -> bool:
    """Whether an expression is `DataConfig`, or a class derived from it."""
    if code.origin(called) == _NAME:
        return True
    found = find_class(tree, code, code.origin(called))
    return found is not None and _derives(tree, *found)


def _derives(tree: SourceTree, scope: ast.ClassDef, code: Code) -> bool:
    if scope.name == "DataConfig" and code.file == CONFIG:
        return True
    return any(_derives(tree, *base) for base in bases_of(tree, code, scope)) or any(
        code.origin(base) == _NAME for base in scope.bases
    )


def _keywords(call: ast.Call) -> Keywords:
    return {each.arg: each.value for each in call.keywords if each.arg is not None}


def _names_a_field(call: ast.Call) -> bool:
    return bool({"local_data_dir", "action_sequence_keys"} & set(_keywords(call)))


def _config_call(tree: SourceTree, code: Code, call: ast.Call) -> ConfigCall:
    unpacked: Keywords = {}
    complete = True
    for each in (each.value for each in call.keywords if each.arg is None):
        inner = _dictionary(code, each)
        complete &= inner is not None
        unpacked |= inner or {}
    for copy in _copies(code, call):
        unpacked |= _keywords(copy)
    unpacked |= _set_afterwards(code, call)
    owner = find_class(tree, code, code.origin(call.func)) or _class(tree)
    unpacked |= _by_position(owner, call)
    return ConfigCall(call, _keywords(call) | unpacked, complete, frozenset(unpacked), owner)


def _by_position(owner: tuple[ast.ClassDef, Code] | None, call: ast.Call) -> Keywords:
    """What is given by position, by the names of the fields of a dataclass."""
    fields = [] if owner is None else [each.target for each in owner[0].body if isinstance(each, ast.AnnAssign)]
    return dict(zip([each.id for each in fields if isinstance(each, ast.Name)], call.args, strict=False))


def _copies(code: Code, call: ast.Call) -> list[ast.Call]:
    """`dataclasses.replace` of what a call makes, or of the variable that holds it."""
    holders = {name for name, value in code.aliases.items() if value is call}
    copies = [each for each in code.calls("dataclasses.replace") if each.args]
    return [c for c in copies if c.args[0] is call or (isinstance(c.args[0], ast.Name) and c.args[0].id in holders)]


def _set_afterwards(code: Code, call: ast.Call) -> Keywords:
    """The fields that are assigned to of the variable that holds what a call makes."""
    holders = {name for name, value in code.aliases.items() if value is call}
    stored = [each for each in code.all(ast.Attribute) if isinstance(each.ctx, ast.Store)]
    held = [each for each in stored if isinstance(each.value, ast.Name) and each.value.id in holders]
    return {each.attr: getattr(code.parents[each], "value", None) for each in held}


def _dictionary(code: Code, node: ast.expr, depth: int = 4) -> Keywords | None:
    """The keys of a dictionary that the file writes out; None where they are not all known."""
    if isinstance(node, ast.Name):
        made = code.aliases.get(node.id)
        inner = _dictionary(code, made, depth - 1) if made is not None and depth else None
        return None if inner is None else inner | _added_keys(code, node.id)
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        named = {key: value for key, value in zip(keys, node.values, strict=True) if isinstance(key, str)}
        return dict(named) if len(named) == len(keys) else None
    if isinstance(node, ast.Call) and code.origin(node.func) == "dict" and not node.args:
        return dict(_keywords(node)) if all(each.arg for each in node.keywords) else None
    return None


def _added_keys(code: Code, name: str) -> Keywords:
    """Keys that are set one by one, `kw["key"] = …`, or by `kw.update(key=…)`."""
    found: Keywords = {}
    for node in code.all(ast.Subscript):
        if isinstance(node.ctx, ast.Store) and is_name(node.value, name) and isinstance(node.slice, ast.Constant):
            found[str(node.slice.value)] = getattr(code.parents[node], "value", None)
    for call in code.all(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "update" and is_name(call.func.value, name):
            found |= _keywords(call)
    return found


def is_name(node: ast.AST, name: str) -> bool:
    """Whether a node is that plain name."""
    return isinstance(node, ast.Name) and node.id == name


def find_field(tree: SourceTree, owner: tuple[ast.ClassDef, Code], name: str) -> tuple[ast.AST, Code] | None:
    """Where a class takes a field, itself or through a base class of the checkout, and the file."""
    scope, code = owner
    for node in scope.body:
        if _takes(node, name):
            return node, code
    for base in bases_of(tree, code, scope):
        found = find_field(tree, base, name)
        if found is not None:
            return found
    return None


def _takes(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.AnnAssign):
        return is_name(node.target, name)
    if isinstance(node, ast.Assign):  # a field of attrs; what has no annotation is none of a dataclass
        return isinstance(node.value, ast.Call) and any(is_name(each, name) for each in node.targets)
    if not isinstance(node, ast.FunctionDef):
        return False
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    given = bool(arguments.kwarg) or any(each.arg == name for each in every)
    return node.name == name or (node.name == "__init__" and given)


def names_of(code: Code, call: ConfigCall) -> dict[str, str]:
    """What the script calls `DataConfig`, and the function that does."""
    spelled = getattr(call.node.func, "attr", getattr(call.node.func, "id", ""))
    return {"config_function": function_of(code, call.node), "config_call": spelled}


def function_of(code: Code, node: ast.AST) -> str:
    """The dotted name of the function that holds a node; "" for none."""
    outer = [each for each in code.above(node) if isinstance(each, Definition)]
    return code.path(outer[0]) if outer else ""
