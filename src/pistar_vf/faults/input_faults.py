"""Questions about what a frame goes through: the tokenizer's arguments, and the names of the cameras."""

import ast

from pistar_vf.faults.code import Code
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown
from pistar_vf.faults.source_tree import SourceTree


def tokenizer_arguments(tree: SourceTree, script: str) -> Finding:
    """`TokenizePrompt` passes an argument that a script's tokenizer does not take."""
    code = tree.code(script)
    given = [call for call in code.calls("openpi.transforms.TokenizePrompt")]
    if not given:
        return absent(f"{script} makes no `TokenizePrompt`")
    scope, owner = _tokenizer_class(tree, code, given[0])
    if scope is None:
        return unknown(
            "look which tokenizer this `TokenizePrompt` gets, and what its `tokenize` takes", place(script, given[0])
        )
    method, holder = _method(tree, owner, scope, "tokenize")
    at = place(owner.file, scope)
    if method is None:
        return unknown(f"look where `{scope.name}` has its `tokenize` from, and what it takes", at)
    return _judge_tokenize(tree, method, place(holder.file, method), holder, scope.name)


def _judge_tokenize(tree: SourceTree, method: ast.FunctionDef, at: str, owner: Code, name: str) -> Finding:
    transforms = tree.code("src/openpi/transforms.py")
    scope = transforms.definition("TokenizePrompt")
    calls = (
        []
        if scope is None
        else [
            call
            for call in transforms.all(ast.Call, inside=scope)
            if isinstance(call.func, ast.Attribute) and call.func.attr == "tokenize"
        ]
    )
    if not calls:
        return unknown("look what `TokenizePrompt` of src/openpi/transforms.py passes to the tokenizer", at)
    refused = [text for call in calls for text in [_refused(call, method)] if text]
    if refused:
        return fault(
            f"`TokenizePrompt` passes {refused[0]}, which `{name}.tokenize` does not take",
            at,
            tokenizer=owner.path(owner.parents[method]),
            tokenizer_file=owner.file,
        )
    if not any(call.keywords for call in calls):
        return absent("`TokenizePrompt` passes nothing but the prompt and the state")
    return fixed(f"`{name}.tokenize` takes everything that it is given", at)


def _tokenizer_class(tree: SourceTree, code: Code, call: ast.Call) -> tuple[ast.ClassDef | None, Code]:
    arguments = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "tokenizer")]
    made = arguments[0] if arguments else None
    if isinstance(made, ast.Name):
        made = code.aliases.get(made.id)
    if not isinstance(made, ast.Call):
        return None, code
    return _class(tree, code, made.func)


def _class(tree: SourceTree, code: Code, node: ast.AST) -> tuple[ast.ClassDef | None, Code]:
    """The class that an expression names, in this file or in another one of the checkout."""
    meant = code.origin(node) or ""
    found = code.definition(meant)
    module, _, name = meant.rpartition(".")
    if found is None and module and tree.file_of(module) is not None:
        code = tree.code(tree.file_of(module))
        found = code.definition(name)
    return (found, code) if isinstance(found, ast.ClassDef) else (None, code)


def _method(tree: SourceTree, code: Code, scope: ast.ClassDef, name: str) -> tuple[ast.FunctionDef | None, Code]:
    for node in scope.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node, code
    for base in scope.bases:
        inner, where = _class(tree, code, base)
        if inner is not None:
            found, holder = _method(tree, where, inner, name)
            if found is not None:
                return found, holder
    return None, code


def _refused(call: ast.Call, method: ast.FunctionDef) -> str:
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
    code = tree.code(file)
    if code.definition("ValueInputs") is None:
        return absent(f"{file} has no `ValueInputs`")
    known = [each for each in code.strings() if camera in each.value]
    if known:
        return fixed(f"`{camera}` is known", place(file, known[0]))
    general = [
        each for each in code.strings() if each.value.rstrip("./") in ("observation.images", "observation/images")
    ]
    if general:
        return unknown("look whether this finds cameras of any name", place(file, general[0]))
    return fault(f"`ValueInputs` does not know `{camera}`", place(file, code.definition("ValueInputs")))
