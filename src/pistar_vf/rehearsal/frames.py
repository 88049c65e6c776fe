"""What a frame goes through: the tokenizer that a script gives to its transform, and `ValueInputs`."""

import re
import types
from typing import Any

from pistar_vf.faults.code import module_name
from pistar_vf.faults.finding import Finding, fault, fixed
from pistar_vf.faults.state_faults import SCRIPT
from pistar_vf.rehearsal.configs import run_functions
from pistar_vf.rehearsal.forgiving import CONFIG, open_any_dataset, take_any_folder
from pistar_vf.rehearsal.seen import defined_at, note_made, raised_at, said
from pistar_vf.rehearsal.stand_in import Base, StandIn
from pistar_vf.rehearsal.world import World

_TRANSFORMS = "openpi.transforms"
_OF_PICTURES = re.compile(r"image|camera|picture|wrist", re.IGNORECASE)
_COLUMNS = ("observation.state", "action", "timestamp", "reward_label", "value_label", "value")
_REFUSES = re.compile(r"unexpected keyword argument|positional argument|keyword-only argument")


def tokenizer_arguments(world: World, script: str) -> Finding | None:
    """Whether the tokenizers that a script makes take what `TokenizePrompt` gives them."""
    made: list[Any] = []
    take_any_folder(world)
    world.when_loaded(lambda name, module: note_made(module, "TokenizePrompt", made) if name == _TRANSFORMS else None)
    loaded = world.attempt(world.load_file, script)
    if loaded.error is None:
        list(run_functions(world, loaded.value))
    given = [each for each in made if not isinstance(getattr(each, "tokenizer", None), StandIn | Base | None)]
    found = [_tokenizes(world, each) for each in given]
    wrong = [each for each in found if each is not None and each.verdict == "fault"]
    return (wrong or found)[0] if found and None not in found else None


def _tokenizes(world: World, transform: Any) -> Finding | None:
    error = world.attempt(transform, {"prompt": "pick"}).error
    method = getattr(type(transform.tokenizer), "tokenize", None)
    if isinstance(error, TypeError) and _REFUSES.search(str(error)):
        return fault(said(error), raised_at(error), **_names_of(type(transform.tokenizer)))
    if error is None:
        return fixed("the tokenizer takes everything that it is given", defined_at(method))
    return None


def _names_of(kind: type) -> dict[str, str]:
    """The class that has the tokenizer's method, and its file."""
    holder = next((each for each in kind.__mro__ if isinstance(vars(each).get("tokenize"), types.FunctionType)), None)
    if holder is None:
        return {}
    file = vars(holder)["tokenize"].__code__.co_filename
    return {"tokenizer": holder.__qualname__, "tokenizer_file": file}


def _subject(error: BaseException) -> str:
    """What an error is about: its first sentence; lists of other names follow."""
    return str(error).partition(". ")[0]


def camera_names(world: World, file: str, camera: str) -> Finding | None:
    """Whether `ValueInputs` finds a picture under a camera's name, behind what the training script has before it."""
    kind = getattr(world.attempt(world.load, module_name(file)).value, "ValueInputs", None)
    steps = _given_steps(world, kind) if isinstance(kind, type) else []
    if not steps:
        return None
    frame = {name: StandIn(world, name) for name in (f"observation.images.{camera}", *_COLUMNS)}
    outcome = world.attempt(_through, steps, {**frame, "task": "pick", "prompt": "pick"})
    if isinstance(outcome.error, KeyError | ValueError) and _OF_PICTURES.search(_subject(outcome.error)):
        return fault(f"`ValueInputs` does not know `{camera}`", raised_at(outcome.error))
    if outcome.error is not None:
        return None
    return fixed(f"`ValueInputs` finds `{camera}`", defined_at(getattr(kind, "__call__", None)))  # noqa: B004


def _through(steps: list[Any], frame: Any) -> Any:
    for step in steps:
        frame = step(frame)
    return frame


def _given_steps(world: World, kind: type) -> list[Any]:
    """The transforms that the training script gives to its configuration, up to one of a class; else one by itself."""
    made: list[Any] = []
    take_any_folder(world)
    open_any_dataset(world)
    world.when_loaded(lambda name, module: note_made(module, "DataConfig", made) if name == CONFIG else None)
    script = world.attempt(world.load_file, SCRIPT).value
    for _ in () if script is None else run_functions(world, script):
        if found := [steps for config in made for steps in _lists_up_to(config, kind)]:
            return found[0]
    alone = world.attempt(world.call_blindly, kind).value
    return [] if alone is None else [alone]


def _lists_up_to(config: Any, kind: type) -> list[list[Any]]:
    """The lists of transforms of a configuration, those of its groups too, each up to one of a class."""
    values = [*vars(config).values()]
    values += [each for value in values if hasattr(value, "__dict__") for each in vars(value).values()]
    lists = [list(each) for each in values if isinstance(each, list | tuple)]
    return [each[: place + 1] for each in lists for place, step in enumerate(each) if isinstance(step, kind)]
