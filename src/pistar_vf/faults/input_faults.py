"""Questions about what a frame goes through: the tokenizer's arguments, and the names of the cameras."""

import ast
import dataclasses

from pistar_vf.faults.code import Code, Text
from pistar_vf.faults.config_calls import is_name
from pistar_vf.faults.definitions import bases_of, find_class, find_definition
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.source_tree import SourceTree

_TRANSFORM = "transforms.TokenizePrompt"
_TRANSFORMS = "src/openpi/transforms.py"
_ANY_CAMERA = ("observation.images", "observation/images")


def tokenizer_arguments(tree: SourceTree, script: str) -> Finding:
    """`TokenizePrompt` passes an argument that a script's tokenizer does not take."""
    code = tree.existing(script)
    given = _made_transforms(tree, code)
    if not given:
        named = [node for node in code.all(ast.Name, ast.Attribute) if (code.origin(node) or "").endswith(_TRANSFORM)]
        text = "look which tokenizer `TokenizePrompt` gets, and what its `tokenize` takes"
        return unknown(text, place(script, named[0])) if named else absent(f"{script} makes no `TokenizePrompt`")
    return worst([_judge_transform(tree, code, *each) for each in given])


def _made_transforms(tree: SourceTree, code: Code) -> list[tuple[ast.Call, list[ast.Call]]]:
    """Where a script makes a `TokenizePrompt`, or a class derived from it, and how that calls the tokenizer."""
    found = []
    for call in code.all(ast.Call):
        transform = find_class(tree, code, code.origin(call.func))
        if transform is not None and _is_tokenize_prompt(tree, *transform):
            found.append((call, _tokenize_calls(tree, *transform)))
    return found


def _is_tokenize_prompt(tree: SourceTree, scope: ast.ClassDef, code: Code) -> bool:
    if scope.name == "TokenizePrompt" and code.file == _TRANSFORMS:
        return True
    return any(_is_tokenize_prompt(tree, *base) for base in bases_of(tree, code, scope))


def _tokenize_calls(tree: SourceTree, scope: ast.ClassDef, code: Code) -> list[ast.Call]:
    """How a transform calls the tokenizer: by its own `__call__`, and by its base's where it has none or asks it."""
    calls = [each for each in code.all(ast.Call, inside=scope) if getattr(each.func, "attr", "") == "tokenize"]
    own = any(isinstance(each, ast.FunctionDef) and each.name == "__call__" for each in scope.body)
    if own and not code.calls("super", inside=scope):
        return calls
    return calls + [call for base in bases_of(tree, code, scope) for call in _tokenize_calls(tree, *base)]


def _judge_transform(tree: SourceTree, code: Code, made: ast.Call, calls: list[ast.Call]) -> Finding:
    """Whether the tokenizer of one transform takes what it is given."""
    found = _tokenizer_class(tree, code, made)
    if found is None:
        text = "look which tokenizer this `TokenizePrompt` gets, and what its `tokenize` takes"
        return unknown(text, place(code.file, made))
    scope, owner = found
    replaced = owner.replaced(scope.name, "tokenize") or code.replaced(scope.name, "tokenize")
    if replaced:
        return _judge_replaced(calls, code, *replaced[-1])
    method = _method(tree, owner, scope, "tokenize")
    if method is None:
        text = f"look where `{scope.name}` has its `tokenize` from, and what it takes"
        return unknown(text, place(owner.file, scope))
    taken, holder = method
    judged = _judge_tokenize(calls, taken, place(holder.file, taken), scope.name)
    where = holder.parents[taken]
    names = {"tokenizer": holder.path(where), "tokenizer_file": holder.file} if isinstance(where, ast.ClassDef) else {}
    return dataclasses.replace(judged, names=names if judged.verdict == "fault" else {})


def _judge_replaced(calls: list[ast.Call], code: Code, node: ast.AST, value: ast.expr | None) -> Finding:
    """A `tokenize` that the script puts into the class: no edit has a hold there."""
    taken = value if isinstance(value, ast.Lambda) else code.definition(code.origin(value) or "") if value else None
    if not isinstance(taken, ast.Lambda | ast.FunctionDef):
        return unknown("look what the `tokenize` that is put there takes", place(code.file, node))
    return dataclasses.replace(_judge_tokenize(calls, taken, place(code.file, node), "the tokenizer"), names={})


def _judge_tokenize(calls: list[ast.Call], method: ast.FunctionDef | ast.Lambda, at: str, name: str) -> Finding:
    if not calls:
        return unknown(f"look what `TokenizePrompt` of {_TRANSFORMS} passes to the tokenizer", at)
    refused = [text for call in calls for text in [_refused(call, method)] if text]
    if refused:
        return fault(f"`TokenizePrompt` passes {refused[0]}, which `{name}.tokenize` does not take", at)
    if any(_unpacks(call) for call in calls):
        return unknown(f"look what `TokenizePrompt` of {_TRANSFORMS} passes to the tokenizer", at)
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
    given = [each for each in call.args if not isinstance(each, ast.Starred)]
    if len(given) > len(positional) and not arguments.vararg:
        return f"{len(given)} arguments by position"
    strange = [each.arg for each in call.keywords if each.arg and each.arg not in names]
    return f"`{strange[0]}`" if strange and not arguments.kwarg else ""


def _unpacks(call: ast.Call) -> bool:
    """Whether a call has arguments of which nobody sees how many they are."""
    return any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords)


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
    asked = [text.node for text in code.strings() if _finds(code, text, f"observation.images.{camera}")]
    if asked:
        return fixed("cameras of any name are found", place(file, asked[0]))
    general: list[ast.AST] = [text.node for text in code.strings() if text.value.rstrip("./*") in _ANY_CAMERA]
    general += [node for node in code.all(ast.Attribute, ast.Name) if (code.origin(node) or "").startswith("re.")]
    if general:
        return unknown("look whether this finds cameras of any name", place(file, general[0]))
    return fault(f"`ValueInputs` does not know `{camera}`", place(file, scope))


def _finds(code: Code, text: Text, name: str) -> bool:
    """Whether a name is among those that a text is compared with: how they start or end, or what is in them."""
    holder = code.parents[text.node]
    asked = getattr(getattr(holder, "func", None), "attr", "")
    if asked == "startswith" and text.node in getattr(holder, "args", ()):
        return name.startswith(text.value)
    if asked == "endswith" and text.node in getattr(holder, "args", ()):
        return name.endswith(text.value)
    if not isinstance(holder, ast.Compare) or not isinstance(holder.ops[0], ast.In) or holder.left is not text.node:
        return False
    return text.value in name and _is_looped(code, holder.comparators[0])


def _is_looped(code: Code, node: ast.expr) -> bool:
    """Whether a name stands for one key after the other."""
    loops = [each.target for each in code.all(ast.For, ast.comprehension)]
    return isinstance(node, ast.Name) and any(is_name(each, node.id) for loop in loops for each in ast.walk(loop))
