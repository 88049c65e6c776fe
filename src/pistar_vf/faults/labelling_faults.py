"""Questions about Stage 5's compiled function."""

import ast

from pistar_vf.faults.code import Code, Definition
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.faults.state_faults import last_name

SCRIPT = "scripts/label_advantage_from_vlm.py"
_KNOWN_NAMES = {
    "logits", "probs", "supports", "values", "axis", "jax", "jnp", "nn", "_model", "Observation", "Array",
    "model", "observation", "train",
}  # fmt: skip
"""What the body of upstream's compiled function is made of: an expected value, and nothing else."""
_REPEATED = ("repeat", "tile", "broadcast_to", "zeros", "zeros_like", "full")


def _compiled(code: Code) -> list[ast.AST]:
    """What the script compiles: functions, lambdas, or expressions of which nobody can tell."""
    found: list[ast.AST] = []
    for function in code.all(ast.FunctionDef):
        meant = [
            code.origin(each) or ""
            for d in function.decorator_list
            for each in ast.walk(d)
            if isinstance(each, ast.Name | ast.Attribute)
        ]
        if any(_is_jit(each) for each in meant):
            found.append(function)
    for call in code.all(ast.Call):
        if _is_jit(code.origin(call.func) or "") and call.args:
            target = call.args[0]
            named = [f for f in code.all(ast.FunctionDef) if isinstance(target, ast.Name) and f.name == target.id]
            found.append(named[0] if named else target)
    return found


def _is_jit(name: str) -> bool:
    return name in ("jit", "jax.jit", "flax.nnx.jit", "nnx.jit")


def closed_over_weights(tree: SourceTree) -> Finding:
    """The compiled function closes over the model, which makes constants of its weights."""
    code = tree.existing(SCRIPT)
    compiled = _compiled(code)
    if not compiled:
        return absent(f"nothing in {SCRIPT} is compiled")
    return worst([_closed_over(code, function) for function in compiled])


def _closed_over(code: Code, function: ast.AST) -> Finding:
    at = place(code.file, function)
    function, given = _behind_partial(code, function)
    if not isinstance(function, ast.FunctionDef | ast.Lambda):
        return unknown("look whether the weights are arguments of what is compiled here", at)
    own = {each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)} - given
    own |= {each.id for each in ast.walk(function) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    outer = given | {name for each in code.above(function) for name in _locals(each)}
    merges = code.calls("nnx.merge", inside=function)
    if merges:
        states = [each.id for call in merges for each in call.args[1:] if isinstance(each, ast.Name)]
        if any(name in outer - own for name in states):
            return fault("the weights that are merged here are no arguments", at)
        return fixed("the weights are arguments of the compiled function", at)
    called = [call.func.id for call in code.all(ast.Call, inside=function) if isinstance(call.func, ast.Name)]
    closed = [name for name in called if name in outer - own and code.definition(name) is None]
    if closed:
        return fault(f"the compiled function closes over `{closed[0]}`", at, **_replaceable(code, function, closed[0]))
    if any(name in own for name in called):
        return fixed("the model is an argument of the compiled function", at)
    return unknown("look whether the weights are arguments of what is compiled here", at)


def _behind_partial(code: Code, node: ast.AST) -> tuple[ast.AST, set[str]]:
    """The function behind `partial(function, …)`, and its parameters that are given there, once for all calls."""
    if not isinstance(node, ast.Call) or not node.args or last_name(code, node.func) != "partial":
        return node, set()
    held = node.args[0]
    named = [each for each in code.all(ast.FunctionDef) if isinstance(held, ast.Name) and each.name == held.id]
    function = named[0] if named else held
    if not isinstance(function, ast.FunctionDef | ast.Lambda):
        return function, set()
    places = [each.arg for each in function.args.args][: len(node.args) - 1]
    return function, {*places, *(each.arg for each in node.keywords if each.arg)}


def _locals(scope: ast.AST) -> set[str]:
    if not isinstance(scope, ast.FunctionDef):
        return set()
    inner = {each.arg for each in ast.walk(scope.args) if isinstance(each, ast.arg)}
    return inner | {
        each.id for each in ast.walk(scope) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }


def _replaceable(code: Code, function: ast.AST, model: str) -> dict[str, str]:
    """The function's path, where it is upstream's: one argument, and the expected value of the model's output."""
    if not isinstance(function, ast.FunctionDef) or model != "model" or len(function.args.args) != 1:
        return {}
    names = [each for line in function.body for each in ast.walk(line) if isinstance(each, ast.Name)]
    read = {each.id for each in names if isinstance(each.ctx, ast.Load)}
    sums = [each.op for each in ast.walk(function) if isinstance(each, ast.BinOp | ast.AugAssign)]
    returned = [each.value for each in ast.walk(function) if isinstance(each, ast.Return)]
    plain = all(isinstance(op, ast.Mult | ast.MatMult) for op in sums) and len(returned) == 1
    known = {*_KNOWN_NAMES, function.args.args[0].arg}
    single = plain and not isinstance(returned[0], ast.Tuple | ast.Dict)
    return {"infer": code.path(function)} if single and read <= known and "supports" in read else {}


def ragged_batch(tree: SourceTree) -> Finding:
    """The last batch is smaller than the others, and the model is compiled again for it."""
    code = tree.existing(SCRIPT)
    compiled = _compiled(code)
    if not compiled:
        return absent(f"nothing in {SCRIPT} is compiled")
    owners = [scope for each in compiled for scope in code.above(each) if isinstance(scope, Definition)]
    looping = [scope for scope in owners if code.all(ast.For, ast.While, inside=scope)]
    makers = [scope for scope in owners if scope not in looping]
    users = {scope for name in _names_of(code, compiled, makers) for scope in _functions_with_loops(code, name)}
    loops = [*looping, *users]
    if not loops:
        return unknown("look whether the last batch has the size of the others", place(SCRIPT, compiled[0]))
    return worst([_padded(code, scope) for scope in loops])


def _names_of(code: Code, compiled: list[ast.AST], makers: list[Definition]) -> set[str]:
    """What the script calls what it compiles, and the functions that make it."""
    held = {name for name, value in code.aliases.items() if any(each in compiled for each in ast.walk(value))}
    return held | {each.name for each in (*compiled, *makers) if isinstance(each, Definition)}


def _functions_with_loops(code: Code, name: str) -> list[Definition]:
    loops = [f for f in code.all(ast.FunctionDef) if code.all(ast.For, ast.While, inside=f)]
    return [f for f in loops if _mentions(code, f, name)]


def _mentions(code: Code, scope: ast.AST, name: str) -> bool:
    return any(each.id == name for each in code.all(ast.Name, inside=scope))


def _padded(code: Code, scope: Definition) -> Finding:
    filling: list[ast.AST] = [call for call in code.all(ast.Call, inside=scope) if _fills(code, call)]
    filling += [node for node in code.all(ast.BinOp, inside=scope) if _counts_lacking(node)]
    filled = [each for each in code.all(ast.Name, inside=scope) if each.id == "infer_full_batch"]
    if filling or filled:
        return fixed("the last batch is filled up", place(code.file, (filling or filled)[0]))
    dropped = [k for call in code.all(ast.Call, inside=scope) for k in call.keywords if k.arg == "drop_last"]
    if any(isinstance(k.value, ast.Constant) and k.value.value is True for k in dropped):
        return fixed("only whole batches are used", place(code.file, dropped[0].value))
    return fault("a last batch of another size is compiled again", place(code.file, scope), **_infer(code, scope))


def _infer(code: Code, scope: Definition) -> dict[str, str]:
    """The path of the function that takes one batch and nothing else, as upstream's and patch L3's do."""
    arguments = [*scope.args.kwonlyargs, *scope.args.args] if isinstance(scope, ast.FunctionDef) else []
    inner = [each for each in code.all(ast.FunctionDef, inside=scope) if each.name == "infer_fn"]
    single = all(len(each.args.args) == 1 and not each.args.kwonlyargs for each in inner)
    made = inner or code.bindings("infer_fn", scope)
    holds = bool(made) and single and "batch_size" in {each.arg for each in arguments}
    return {"infer": f"{code.path(scope)}.infer_fn"} if holds else {}


def _counts_lacking(node: ast.BinOp) -> bool:
    """Whether it is computed how many rows a batch lacks: its size less a number that is not written out."""
    name = str(getattr(node.left, "attr", getattr(node.left, "id", "")))
    return isinstance(node.op, ast.Sub) and name.endswith("batch_size") and not isinstance(node.right, ast.Constant)


def _fills(code: Code, call: ast.Call) -> bool:
    """Whether a call pads, appends repeated rows, or makes indices of a range that end at the last frame."""
    last = str(code.origin(call.func) or getattr(call.func, "attr", "")).rpartition(".")[2].lower()
    indices = last in ("minimum", "clip", "fmin") and bool(code.calls("arange", "range", inside=call))
    looped = [each for each in code.above(call) if isinstance(each, ast.ListComp | ast.GeneratorExp)]
    indices |= last == "min" and any(code.calls("range", inside=each) for each in looped)
    rows = last in ("concatenate", "append", "vstack") and bool(code.calls(*_REPEATED, inside=call))
    return "pad" in last or indices or rows
