"""Questions about what a frame goes through: the tokenizer's arguments, and the names of the cameras."""

import ast
import dataclasses

from pistar_vf.faults.code import Code
from pistar_vf.faults.definitions import bases_of, find_definition
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown
from pistar_vf.faults.source_tree import SourceTree

_TRANSFORM = "transforms.TokenizePrompt"
_ANY_CAMERA = ("observation.images", "observation/images")


def tokenizer_arguments(tree: SourceTree, script: str) -> Finding:
    """`TokenizePrompt` passes an argument that a script's tokenizer does not take."""
    code = tree.existing(script)
    given = code.calls("openpi.transforms.TokenizePrompt")
    if not given:
        named = [node for node in code.all(ast.Name, ast.Attribute) if (code.origin(node) or "").endswith(_TRANSFORM)]
        text = "look which tokenizer `TokenizePrompt` gets, and what its `tokenize` takes"
        return unknown(text, place(script, named[0])) if named else absent(f"{script} makes no `TokenizePrompt`")
    found = _tokenizer_class(tree, code, given[0])
    if found is None:
        text = "look which tokenizer this `TokenizePrompt` gets, and what its `tokenize` takes"
        return unknown(text, place(script, given[0]))
    scope, owner = found
    replaced = owner.replaced(scope.name, "tokenize") or code.replaced(scope.name, "tokenize")
    if replaced:
        return _judge_replaced(tree, code, *replaced[-1])
    method = _method(tree, owner, scope, "tokenize")
    if method is None:
        text = f"look where `{scope.name}` has its `tokenize` from, and what it takes"
        return unknown(text, place(owner.file, scope))
    taken, holder = method
    judged = _judge_tokenize(tree, taken, place(holder.file, taken), scope.name)
    where = holder.parents[taken]
    names = {"tokenizer": holder.path(where), "tokenizer_file": holder.file} if isinstance(where, ast.ClassDef) else {}
    return dataclasses.replace(judged, names=names if judged.verdict == "fault" else {})


def _judge_replaced(tree: SourceTree, code: Code, node: ast.AST, value: ast.expr | None) -> Finding:
    """A `tokenize` that the script puts into the class: no edit has a hold there."""
    taken = value if isinstance(value, ast.Lambda) else code.definition(code.origin(value) or "") if value else None
    if not isinstance(taken, ast.Lambda | ast.FunctionDef):
        return unknown("look what the `tokenize` that is put there takes", place(code.file, node))
    return dataclasses.replace(_judge_tokenize(tree, taken, place(code.file, node), "the tokenizer"), names={})


def _judge_tokenize(tree: SourceTree, method: ast.FunctionDef | ast.Lambda, at: str, name: str) -> Finding:
    transforms = tree.existing("src/openpi/transforms.py")
    scope = transforms.definition("TokenizePrompt")
    given = [] if scope is None else transforms.all(ast.Call, inside=scope)
    calls = [call for call in given if isinstance(call.func, ast.Attribute) and call.func.attr == "tokenize"]
    if not calls:
        return unknown("look what `TokenizePrompt` of src/openpi/transforms.py passes to the tokenizer", at)
    refused = [text for call in calls for text in [_refused(call, method)] if text]
    if refused:
        return fault(f"`TokenizePrompt` passes {refused[0]}, which `{name}.tokenize` does not take", at)
    if not any(call.keywords for call in calls):
        return absent("`TokenizePrompt` passes nothing but the prompt and the state")
    return fixed(f"`{name}.tokenize` takes everything that it is given", at)


def _tokenizer_class(tree: SourceTree, code: Code, call: ast.Call) -> tuple[ast.ClassDef, Code] | None:
    arguments = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "tokenizer")]
    return _class_of(tree, code, arguments[0], 3) if arguments else None


def _class_of(tree: SourceTree, code: Code, made: ast.expr, depth: int) -> tuple[ast.ClassDef, Code] | None:
    """The class of an object: of a variable, a call of the class, or a function that returns one."""
    if isinstance(made, ast.Name) and made.id in code.aliases:
        made = code.aliases[made.id]
    found = find_definition(tree, code, code.origin(made.func)) if isinstance(made, ast.Call) else None
    if found is None or not depth:
        return None
    scope, owner = found
    if isinstance(scope, ast.ClassDef):
        return scope, owner
    returned = [each.value for each in owner.all(ast.Return, inside=scope) if each.value is not None]
    return _class_of(tree, owner, returned[0], depth - 1) if len(returned) == 1 else None


def _method(tree: SourceTree, code: Code, scope: ast.ClassDef, name: str) -> tuple[ast.FunctionDef, Code] | None:
    """A method of a class or of one of its base classes, and the file."""
    for node in scope.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node, code
    inherited = (_method(tree, where, base, name) for base, where in bases_of(tree, code, scope))
    return next((each for each in inherited if each is not None), None)


def _refused(call: ast.Call, method: ast.FunctionDef | ast.Lambda) -> str:
    """The first argument of a call that a method does not take; "" where it takes all of them."""
    arguments = method.args
    positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)][1:]
    names = {*positional, *(each.arg for each in arguments.kwonlyargs)}
    if len(call.args) > len(positional) and not arguments.vararg:
        return f"{len(call.args)} arguments by position"
    strange = [each.arg for each in call.keywords if each.arg and each.arg not in names]
    return f"`{strange[0]}`" if strange and not arguments.kwarg else ""


# --- the cameras ---------------------------------------------------------------------------------------------------


def camera_names(tree: SourceTree, file: str, camera: str) -> Finding:
    """`ValueInputs` does not know a camera's name."""
    code = tree.existing(file)
    scope = code.definition("ValueInputs")
    if scope is None:
        return unknown("look where the names of the cameras are listed", f"{file}:1")
    known = [text.node for text in code.strings() if camera in text.value]
    if known:
        return fixed(f"`{camera}` is known", place(file, known[0]))
    general = [text.node for text in code.strings() if text.value.rstrip("./") in _ANY_CAMERA]
    asked = [node for node in general if isinstance(code.parents[node], ast.Call) and _looks_for_any(code, node)]
    if asked:
        return fixed("cameras of any name are found", place(file, asked[0]))
    if general:
        return unknown("look whether this finds cameras of any name", place(file, general[0]))
    return fault(f"`ValueInputs` does not know `{camera}`", place(file, scope))


def _looks_for_any(code: Code, node: ast.AST) -> bool:
    return getattr(getattr(code.parents[node], "func", None), "attr", "") == "startswith"
