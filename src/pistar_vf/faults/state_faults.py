"""Questions about the training state: whether JAX takes it for a tree, and whether its step stays a number."""

import ast

from pistar_vf.faults.code import Code, Definition
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.source_tree import SourceTree

SCRIPT = "scripts/train_value.py"
_TREE_BASES = ("PyTreeNode", "NamedTuple", "Module", "TrainState", "Pytree", "Object")
_TREE_DECORATORS = (
    "flax.struct.dataclass", "chex.dataclass", "register_dataclass", "register_pytree_node_class",
    "register_pytree_with_keys_class", "register_static",
)  # fmt: skip
_REGISTER = ("register_dataclass", "register_pytree_node", "register_pytree_with_keys", "register_pytree_node_class")
_MAPS = ("tree.map", "tree_map", "tree_map_with_path", "tree.map_with_path")
_TO_ARRAY = (
    "jax.device_put",
    "device_put",
    "jnp.asarray",
    "jax.numpy.asarray",
    "jax.numpy.array",
    "apply_fsdp_sharding",
)


def _state_class(code: Code) -> ast.ClassDef | None:
    """`TrainState`, or the class with a step and parameters that takes its place."""
    named = code.definition("TrainState")
    if isinstance(named, ast.ClassDef):
        return named
    for scope in code.all(ast.ClassDef):
        fields = {
            each.target.id
            for each in scope.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        }
        if {"step", "params"} <= fields:
            return scope
    return None


def registered(code: Code, scope: ast.ClassDef) -> ast.AST | str | None:
    """Where a class is made a tree for JAX; "unknown" where a base class of elsewhere may do it."""
    for base in scope.bases:
        if (code.origin(base) or "").rpartition(".")[2] in _TREE_BASES:
            return base
    for decorator in scope.decorator_list:
        names = [code.origin(each) or "" for each in ast.walk(decorator) if isinstance(each, ast.Name | ast.Attribute)]
        if any(_ends(name, each) for name in names for each in _TREE_DECORATORS):
            return decorator
    for call in code.calls(*_REGISTER):
        if any(isinstance(each, ast.Name) and each.id == scope.name for each in call.args):
            return call
    return "unknown" if [each for each in scope.bases if (code.origin(each) or "") != "object"] else None


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _state_names(code: Code, scope: ast.ClassDef) -> set[str]:
    """The variables and parameters that hold the state."""
    makers = {scope.name}
    for function in code.all(ast.FunctionDef):
        returned = [each.value for each in code.all(ast.Return, inside=function) if each.value is not None]
        firsts = [each.elts[0] if isinstance(each, ast.Tuple) and each.elts else each for each in returned]
        if any(isinstance(each, ast.Call) and code.origin(each.func) == scope.name for each in firsts):
            makers.add(function.name)
    names = set()
    for node in code.all(ast.Assign, ast.AnnAssign):
        if isinstance(node.value, ast.Call) and code.origin(node.value.func) in makers:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            first = target.elts[0] if isinstance(target, ast.Tuple) else target
            names |= {first.id} if isinstance(first, ast.Name) else set()
    for each in code.all(ast.arg):
        if each.annotation is not None and scope.name in ast.dump(each.annotation):
            names.add(each.arg)
    return names


def state_leaf(tree: SourceTree) -> Finding:
    """The state, a plain dataclass, is put on the devices as one leaf."""
    code = tree.code(SCRIPT)
    scope = _state_class(code)
    if scope is None:
        return unknown("look which class holds the training state, and whether JAX takes it for a tree", f"{SCRIPT}:1")
    where = registered(code, scope)
    if isinstance(where, ast.AST):
        return fixed(f"`{scope.name}` is a tree for JAX", place(SCRIPT, where))
    judged = _placements(code, _state_names(code, scope))
    if not judged:
        return unknown(f"look how `{scope.name}` gets onto the devices", place(SCRIPT, scope))
    decides = worst(judged)
    if where == "unknown" and decides.verdict == "fault":
        return unknown(f"look whether the base class of `{scope.name}` makes it a tree for JAX", place(SCRIPT, scope))
    if decides.verdict == "fault" and _assigned_fields(code, _state_names(code, scope)):
        return fault(decides.text, decides.place)  # a frozen class would break these: by hand
    return fault(decides.text, decides.place, state_class=scope.name) if decides.verdict == "fault" else decides


def _assigned_fields(code: Code, names: set[str]) -> list[ast.AST]:
    stored = [node for node in code.all(ast.Attribute) if isinstance(node.ctx, ast.Store)]
    return [node for node in stored if isinstance(node.value, ast.Name) and node.value.id in names]


def _placements(code: Code, names: set[str]) -> list[Finding]:
    """What the calls that get the whole state do to it."""
    found = []
    for call in code.all(ast.Call):
        given = [each for each in (*call.args, *(k.value for k in call.keywords)) if getattr(each, "id", "") in names]
        if given:
            found.append(_placement(code, call, given[0].id))
    return [each for each in found if each is not None]


def _placement(code: Code, call: ast.Call, name: str) -> Finding | None:
    meant, at = code.origin(call.func) or "", place(code.file, call)
    if any(_ends(meant, each) for each in _MAPS):
        return _mapped(code, call.args[0] if call.args else None, at, _where_map(call))
    if _ends(meant, "device_put"):
        return fault("the state, which is no tree, is put on the devices as a whole", at)
    if _ends(meant, "dataclasses.replace"):
        return fixed("its fields are put on the devices one by one", at)
    target = code.definition(meant)
    if isinstance(target, ast.FunctionDef) and _is_compiled(code, target):
        return fault(f"the state, which is no tree, is given to the compiled function `{target.name}`", at)
    if isinstance(target, ast.FunctionDef) and _maps_parts(code, target):
        return fixed("its fields are put on the devices one by one", place(code.file, target))
    return None


def _where_map(call: ast.Call) -> str:
    return "the state, which is no tree, is mapped over as a whole"


def _is_compiled(code: Code, function: ast.FunctionDef) -> bool:
    meant = [
        code.origin(each) or ""
        for d in function.decorator_list
        for each in ast.walk(d)
        if isinstance(each, ast.Name | ast.Attribute)
    ]
    return any(_ends(each, "jax.jit") or each == "jit" for each in meant)


def _maps_parts(code: Code, function: ast.FunctionDef) -> bool:
    """Whether a helper maps over trees other than its own parameter for the state."""
    return bool(code.calls(*_MAPS, inside=function))


def _mapped(code: Code, function: ast.expr | None, at: str, text: str) -> Finding:
    """What a function does to a leaf that is no array."""
    body = _body(code, function)
    if body is None:
        meant = "" if function is None else code.origin(function) or ""
        partial = isinstance(function, ast.Call) and (code.origin(function.func) or "").endswith("partial")
        inner = code.origin(function.args[0]) or "" if partial and function.args else meant
        if any(_ends(inner, each) for each in _TO_ARRAY):
            return fault(text, at)
        return unknown("look what is done here to a leaf that is no array", at)
    if any(isinstance(each, ast.IfExp | ast.If | ast.Try) for each in ast.walk(body)):
        return fixed("what is no array is left alone", at)
    if code.calls(*_TO_ARRAY, inside=body):
        return fault(text, at)
    return unknown("look what is done here to a leaf that is no array", at)


def _body(code: Code, function: ast.expr | None) -> ast.AST | None:
    if isinstance(function, ast.Lambda):
        return function
    if isinstance(function, ast.Name):
        inner = [each for each in code.all(ast.FunctionDef) if each.name == function.id]
        alias = code.aliases.get(function.id)
        return inner[0] if inner else alias if isinstance(alias, ast.Lambda) else None
    return None


def step_number(tree: SourceTree) -> Finding:
    """The state is a tree, so that its step becomes an array, and the progress bar counts with it."""
    code = tree.code(SCRIPT)
    scope = _state_class(code)
    where = None if scope is None else registered(code, scope)
    if not isinstance(where, ast.AST):
        return absent("the state is no tree for JAX, and its step stays a number")
    names = _state_names(code, scope)
    reads = [node for node in code.all(ast.Attribute) if node.attr == "step" and getattr(node.value, "id", "") in names]
    counting = [each for each in (_counts(code, node) for node in reads) if each is not None]
    if not counting:
        return unknown("look whether the progress bar gets the state's step as an array", f"{SCRIPT}:1")
    decides = worst(counting)
    if decides.verdict == "fault" and not _becomes_array(code, names):
        return fixed("only arrays are put on the devices, and the step is a number", place(SCRIPT, where))
    return decides


def _becomes_array(code: Code, names: set[str]) -> bool:
    """Whether a leaf that is a number is put on the devices too: something that places the state has no condition."""
    judged = _placements(code, names)
    return not judged or any(each.verdict != "fixed" for each in judged)


def _counts(code: Code, node: ast.Attribute) -> Finding | None:
    """What becomes of one read of the step: a variable, or an argument of the progress bar."""
    at = place(code.file, node)
    above = list(code.above(node))
    statement = next((each for each in above if isinstance(each, ast.Assign | ast.AnnAssign)), None)
    calls = [each for each in above[: above.index(statement)] if isinstance(each, ast.Call)] if statement else []
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    function = next((each for each in above if isinstance(each, Definition)), None)
    if (
        statement is not None
        and isinstance(targets[0], ast.Name)
        and "step" in targets[0].id
        and "start" in targets[0].id
    ):
        if calls:
            return fixed("the first step is made a number", at)
        path = f"{code.path(function)}.{targets[0].id}" if function is not None else targets[0].id
        return fault(f"`{targets[0].id}` is an array", at, start_step=path)
    inner = [each for each in above if isinstance(each, ast.Call)]
    if (inner and _ends(code.origin(inner[0].func) or "", "tqdm")) or (inner and code.origin(inner[0].func) == "range"):
        return fault("the progress bar gets the step as an array", at)
    return None
