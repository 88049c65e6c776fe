"""The question whether the first step stays a number where the state is a tree for JAX."""

import ast
import dataclasses
from collections.abc import Sequence

from pistar_vf.faults.code import Code, Definition
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.leaf_guards import TO_ARRAY
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.faults.state_faults import MAPS, SCRIPT, last_name, placements, registered, state_class, state_names

_OPEN = "look whether the progress bar gets the state's step as an array"
_COUNTING = ("tqdm", "trange", "timedelta")
_BY_NAME = ("getattr", "vars", "asdict", "fields")
_TO_NUMBER = ("int", "item", "tolist", "float", "index")
_STAYS_ARRAY = ("device_get", "block_until_ready", "asarray", "array", "copy", "squeeze", "reshape", "astype")


def step_number(tree: SourceTree) -> Finding:
    """The state is a tree, so that its step becomes an array, and the progress bar counts with it."""
    code, found = tree.existing(SCRIPT), state_class(tree)
    number = absent("the state is no tree for JAX, and its step stays a number")
    if found is None:
        return number
    where = registered(found[1], found[0])
    names = state_names(code, found[0])
    reads = [node for node in code.all(ast.Attribute) if node.attr == "step" and getattr(node.value, "id", "") in names]
    counting = [each for each in (_counts(code, node) for node in reads) if each is not None]
    decides = worst(counting) if counting else unknown(_OPEN, f"{SCRIPT}:1")
    if where is None and not _put_by_fields(code, names):
        return dataclasses.replace(number, names=decides.names)
    if not isinstance(where, ast.AST):
        # it may be a tree, and it may not; or its fields are put on the devices one by one, perhaps the step too
        untold = dataclasses.replace(unknown(_OPEN, decides.place), names=decides.names)
        return decides if decides.verdict == "fixed" else untold
    if decides.verdict == "fault" and not _becomes_array(code, names):
        return fixed("only arrays are put on the devices, and the step is a number", place(found[1].file, where))
    return decides


def _put_by_fields(code: Code, names: set[str]) -> bool:
    """Whether arrays are made of single fields of the state, of the step or of whichever there are."""
    held = names | _parameters(code, names)
    for call in code.calls(*TO_ARRAY, *MAPS):
        above = list(code.above(call))
        parts: list[ast.AST] = [next(each for each in above if isinstance(each, ast.stmt))]
        parts += [each.iter for each in above if isinstance(each, ast.For)]
        read = [node for each in parts for node in code.all(ast.Attribute, inside=each) if node.attr == "__dict__"]
        read += [node for node in code.all(ast.Attribute, inside=call) if node.attr == "step"]
        asked = [node for each in parts for node in code.calls(*_BY_NAME, inside=each) if node.args]
        owners = [*(node.value for node in read), *(node.args[0] for node in asked)]
        if any(isinstance(each, ast.Name) and each.id in held for each in owners):
            return True
    return False


def _parameters(code: Code, names: set[str]) -> set[str]:
    """What functions of the file call the state that they are given."""
    found = set()
    for call in code.all(ast.Call):
        target = code.definition(code.origin(call.func) or "")
        if isinstance(target, ast.FunctionDef):
            pairs = zip(target.args.args, call.args, strict=False)
            found |= {each.arg for each, given in pairs if getattr(given, "id", "") in names}
    return found


def _becomes_array(code: Code, names: set[str]) -> bool:
    """Whether a leaf that is a number is put on the devices too: something that places the state has no condition."""
    judged = placements(code, names)
    return not judged or any(each.verdict != "fixed" for each in judged)


def _counts(code: Code, node: ast.Attribute) -> Finding | None:
    """What becomes of one read of the step: the variable of the first step, or an argument of the progress bar."""
    above = list(code.above(node))
    inner = [each for each in above if isinstance(each, ast.Call)]
    if inner and last_name(code, inner[0].func) in _COUNTING:
        return fault("the progress bar gets the step as an array", place(code.file, node))
    statement = next((each for each in above if isinstance(each, ast.stmt)), None)
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return None
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    counted = isinstance(target, ast.Name) and _is_counted(code, target.id)
    if not isinstance(target, ast.Name) or not (counted or ("step" in target.id and "start" in target.id)):
        return None
    found = _first_step(code, node, target.id, [each for each in inner if statement in code.above(each)])
    return found if counted or found.verdict != "fault" else dataclasses.replace(found, verdict="unknown", text=_OPEN)


def _is_counted(code: Code, name: str) -> bool:
    """Whether a variable is given to a progress bar, or to what it computes times with; `range` takes arrays too."""
    given = [each for call in code.calls(*_COUNTING) for each in (*call.args, *(k.value for k in call.keywords))]
    counted = [each for each in given if not (isinstance(each, ast.Call) and last_name(code, each.func) == "range")]
    return any(isinstance(each, ast.Name) and each.id == name for part in counted for each in ast.walk(part))


def _first_step(code: Code, node: ast.Attribute, name: str, calls: Sequence[ast.Call]) -> Finding:
    """Whether the calls around the step, from the inside out, leave a number in the variable."""
    at = place(code.file, node)
    function = next((each for each in code.above(node) if isinstance(each, Definition)), None)
    path = f"{code.path(function)}.{name}" if function is not None else name
    made = [getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls]
    if any(each in _TO_NUMBER for each in made):
        return fixed("the first step is made a number", at)
    if all(each in _STAYS_ARRAY for each in made):
        return fault(f"`{name}` is an array", at, start_step=path)
    open_question = unknown(f"look whether `{made[-1]}` makes the first step a number", at)
    return dataclasses.replace(open_question, names={"start_step": path})
