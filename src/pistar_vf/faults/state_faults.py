"""The training state: which class it is, what holds it, and whether JAX takes it for a tree."""

import ast
import dataclasses

from pistar_vf.faults.code import Code
from pistar_vf.faults.definitions import find_class
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.leaf_guards import TO_ARRAY, guard_kind
from pistar_vf.faults.source_tree import SourceTree

SCRIPT = "scripts/train_value.py"
TREE_BASES = ("PyTreeNode", "NamedTuple", "Module", "TrainState", "Pytree", "Object")
_TREE_DECORATORS = (
    "flax.struct.dataclass", "chex.dataclass", "register_dataclass", "register_pytree_node_class",
    "register_pytree_with_keys_class", "register_static",
)  # fmt: skip
_REGISTER = ("register_dataclass", "register_pytree_node", "register_pytree_with_keys", "register_pytree_node_class")
MAPS = ("tree.map", "tree_map", "tree_map_with_path", "tree.map_with_path")


def state_class(tree: SourceTree) -> tuple[ast.ClassDef, Code] | None:
    """`TrainState`, or the class with a step and parameters that takes its place, and its file."""
    code = tree.existing(SCRIPT)
    named = find_class(tree, code, code.origin(ast.Name("TrainState", ast.Load())))
    if named is not None:
        return named
    made = [find_class(tree, code, code.origin(call.func)) for call in code.all(ast.Call)]
    found = [*((scope, code) for scope in code.all(ast.ClassDef)), *(each for each in made if each is not None)]
    return next((each for each in found if {"step", "params"} <= _fields(each[0])), None)


def _fields(scope: ast.ClassDef) -> set[str]:
    annotated = [each.target for each in scope.body if isinstance(each, ast.AnnAssign)]
    return {each.id for each in annotated if isinstance(each, ast.Name)}


def registered(code: Code, scope: ast.ClassDef) -> ast.AST | str | None:
    """Where a class is made a tree for JAX; "unknown" where a base class or a decorator of elsewhere may."""
    for base in scope.bases:
        if (code.origin(base) or "").rpartition(".")[2] in TREE_BASES:
            return base
    for decorator in scope.decorator_list:
        names = [code.origin(each) or "" for each in ast.walk(decorator) if isinstance(each, ast.Name | ast.Attribute)]
        if any(_ends(name, each) for name in names for each in _TREE_DECORATORS):
            return decorator
    for call in code.calls(*_REGISTER):
        if any(isinstance(each, ast.Name) and each.id == scope.name for each in call.args):
            return call
    strange = [each for each in scope.bases if (code.origin(each) or "") != "object"]
    return "unknown" if strange or not all(_is_plain(code, each) for each in scope.decorator_list) else None


def _is_plain(code: Code, decorator: ast.expr) -> bool:
    """Whether a decorator is that of a dataclass, which registers nothing."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return _ends(code.origin(called) or "", "dataclass")


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def state_names(code: Code, scope: ast.ClassDef) -> set[str]:
    """The variables and parameters that hold the state."""
    makers = {scope.name}
    for function in code.all(ast.FunctionDef):
        returned = [each.value for each in code.all(ast.Return, inside=function) if each.value is not None]
        firsts = [each.elts[0] if isinstance(each, ast.Tuple) and each.elts else each for each in returned]
        if any(isinstance(each, ast.Call) and last_name(code, each.func) == scope.name for each in firsts):
            makers.add(function.name)
    names = set()
    for node in code.all(ast.Assign, ast.AnnAssign):
        if isinstance(node.value, ast.Call) and last_name(code, node.value.func) in makers:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            first = target.elts[0] if isinstance(target, ast.Tuple) else target
            names |= {first.id} if isinstance(first, ast.Name) else set()
    for each in code.all(ast.arg):
        if each.annotation is not None and scope.name in ast.dump(each.annotation):
            names.add(each.arg)
    return names


def _dictionaries(code: Code) -> list[ast.Dict]:
    """The dictionaries with a step and parameters."""
    keys = [(each, {getattr(key, "value", None) for key in each.keys}) for each in code.all(ast.Dict)]
    return [each for each, names in keys if names >= {"step", "params"}]


def last_name(code: Code, node: ast.expr) -> str:
    """The last part of what an expression means; "" for none."""
    return (code.origin(node) or "").rpartition(".")[2]


def state_leaf(tree: SourceTree) -> Finding:
    """The state, a plain dataclass, is put on the devices as one leaf."""
    code, found = tree.existing(SCRIPT), state_class(tree)
    if found is None and (held := _dictionaries(code)):
        return absent(f"the state is a dictionary, which is a tree for JAX ({place(SCRIPT, held[0])})")
    if found is None:
        return unknown("look which class holds the training state, and whether JAX takes it for a tree", f"{SCRIPT}:1")
    scope, holder = found
    where = registered(holder, scope)
    if isinstance(where, ast.AST):
        return fixed(f"`{scope.name}` is a tree for JAX", place(holder.file, where))
    names = state_names(code, scope)
    by_hand = _assigned_fields(code, names) or holder is not code  # a frozen class would break the first
    names_of = {} if by_hand else {"state_class": scope.name}
    judged = placements(code, names)
    if not judged:
        open_question = unknown(f"look how `{scope.name}` gets onto the devices", place(holder.file, scope))
        return dataclasses.replace(open_question, names=names_of)
    decides = worst(judged)
    if where == "unknown" and decides.verdict == "fault":
        text = f"look whether a base class or a decorator of `{scope.name}` makes it a tree for JAX"
        return unknown(text, place(holder.file, scope))
    return dataclasses.replace(decides, names=names_of) if decides.verdict in ("fault", "unknown") else decides


def _assigned_fields(code: Code, names: set[str]) -> list[ast.AST]:
    stored = [node for node in code.all(ast.Attribute) if isinstance(node.ctx, ast.Store)]
    return [node for node in stored if isinstance(node.value, ast.Name) and node.value.id in names]


def placements(code: Code, names: set[str], inside: ast.AST | None = None, depth: int = 2) -> list[Finding]:
    """What the calls that get the whole state do to it."""
    found = []
    for call in code.all(ast.Call, inside=inside):
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if any(getattr(each, "id", "") in names for each in given):
            found += _placement(code, call, names, depth)
    return found


def _placement(code: Code, call: ast.Call, names: set[str], depth: int) -> list[Finding]:
    meant, at = code.origin(call.func) or "", place(code.file, call)
    if any(_ends(meant, each) for each in MAPS):
        return [_mapped(code, call.args[0] if call.args else None, at)]
    if _ends(meant, "device_put"):
        return [fault("the state, which is no tree, is put on the devices as a whole", at)]
    if _ends(meant, "dataclasses.replace"):
        return [fixed("its fields are put on the devices one by one", at)]
    if _is_jit_call(code, call.func):
        return [fault("the state, which is no tree, is given to a compiled function", at)]
    target = code.definition(meant)
    if not isinstance(target, ast.FunctionDef):
        return []
    if _is_compiled(code, target):
        return [fault(f"the state, which is no tree, is given to the compiled function `{target.name}`", at)]
    return _inside(code, call, target, names, depth)


def _is_jit_call(code: Code, called: ast.expr) -> bool:
    """Whether what is called was made by `jax.jit(…)`, here or where its name was assigned."""
    made = code.aliases.get(called.id) if isinstance(called, ast.Name) else called
    return isinstance(made, ast.Call) and last_name(code, made.func) in ("jit", "pjit", "pmap")


def _inside(code: Code, call: ast.Call, target: ast.FunctionDef, names: set[str], depth: int) -> list[Finding]:
    """What a function of the file does to the parameter that gets the state."""
    parameters = [each.arg for each in target.args.args]
    given = {name for name, value in zip(parameters, call.args, strict=False) if getattr(value, "id", "") in names}
    given |= {each.arg for each in call.keywords if each.arg and getattr(each.value, "id", "") in names}
    found = placements(code, given, target, depth - 1) if depth else []
    if not found and code.calls(*MAPS, inside=target):
        return [fixed("its fields are put on the devices one by one", place(code.file, target))]
    return found


def _is_compiled(code: Code, function: ast.FunctionDef) -> bool:
    meant = [
        code.origin(each) or ""
        for d in function.decorator_list
        for each in ast.walk(d)
        if isinstance(each, ast.Name | ast.Attribute)
    ]
    return any(_ends(each, "jax.jit") or each == "jit" for each in meant)


def _mapped(code: Code, function: ast.expr | None, at: str) -> Finding:
    """What a function does to a leaf that is no array."""
    wrong = fault("the state, which is no tree, is mapped over as a whole", at)
    open_question = unknown("look what is done here to a leaf that is no array", at)
    body = _body(code, function)
    if body is None:
        held = function
        if isinstance(function, ast.Call) and (code.origin(function.func) or "").endswith("partial") and function.args:
            held = function.args[0]
        meant = "" if held is None else code.origin(held) or ""
        return wrong if any(_ends(meant, each) for each in TO_ARRAY) else open_question
    kinds = {guard_kind(code, each, body) for each in ast.walk(body) if isinstance(each, ast.IfExp | ast.If | ast.Try)}
    if "unknown" in kinds:
        return open_question
    if "arrays" in kinds:
        return fixed("what is no array is left alone", at)
    return wrong if code.calls(*TO_ARRAY, inside=body) else open_question


def _body(code: Code, function: ast.expr | None) -> ast.AST | None:
    if isinstance(function, ast.Lambda):
        return function
    if isinstance(function, ast.Name):
        inner = [each for each in code.all(ast.FunctionDef) if each.name == function.id]
        alias = code.aliases.get(function.id)
        return inner[0] if inner else alias if isinstance(alias, ast.Lambda) else None
    return None
