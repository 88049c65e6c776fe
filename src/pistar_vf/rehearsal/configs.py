"""Which `DataConfig` a script's functions make, and what becomes of it in the loader."""

import copy
import functools
import types
from collections.abc import Iterator
from typing import Any, TypeGuard

from pistar_vf.faults.finding import Finding, fault, fixed
from pistar_vf.rehearsal.forgiving import CONFIG, FOLDER, LOADER, leave_frames_alone, take_any_folder
from pistar_vf.rehearsal.seen import note_made, raised_at, said
from pistar_vf.rehearsal.stand_in import ABSENT
from pistar_vf.rehearsal.world import Outcome, World

_OPENS, READER = "create_torch_dataset", "openpi.training.value_data_loader"


class Watched:
    """Runs the functions of a script, the longest first, until one opens a dataset.

    Attributes:
        opened: configuration and outcome of each dataset that was opened.
        made: the configurations that were made, if no dataset was opened.
        refused: the error of a configuration that could not be made; None where there was none.
    """

    def __init__(self, world: World, script: str):
        self._world = world
        self.opened: list[tuple[Any, Outcome]] = []
        self.made: list[Any] = []
        self.refused: BaseException | None = None
        leave_frames_alone(world)
        world.when_loaded(self._watch)
        loaded = world.attempt(world.load_file, script)
        self._others = list(self.made)
        if loaded.error is None:
            self._run(loaded.value)

    def _watch(self, name: str, module: types.ModuleType) -> None:
        if name == CONFIG:
            note_made(module, "DataConfig", self.made)
        if name == LOADER and callable(getattr(module, _OPENS, None)):
            setattr(module, _OPENS, self._noting(getattr(module, _OPENS)))

    def _noting(self, opens: Any) -> Any:
        @functools.wraps(opens)
        def noting(config: Any, *args: Any, **kwargs: Any) -> Any:
            self._world.opening = True
            try:
                value = opens(config, *args, **kwargs)
            except Exception as error:
                self.opened.append((config, Outcome(error=error)))
                raise
            finally:
                self._world.opening = False
            self.opened.append((config, Outcome(value=value)))
            return value

        return noting

    def _run(self, script: types.ModuleType) -> None:
        for error in run_functions(self._world, script):
            if isinstance(error, TypeError) and FOLDER in str(error):
                self.refused = error
            if self.refused or self._opened_own():
                return
        self._open_last()

    def _opened_own(self) -> bool:
        """Whether a configuration was opened that was made here."""
        self.opened = [each for each in self.opened if any(each[0] is made for made in self.made)]
        return bool(self.opened)

    def _open_last(self) -> None:
        own = [each for each in self.made if not any(each is other for other in self._others)]
        whole = [each for each in self.made if getattr(each, "repo_id", None) or getattr(each, FOLDER, None)]
        if whole or (own and "LeRobotDataset" not in self._world.called):
            self._open((whole or own)[-1])

    def _open(self, config: Any) -> BaseException | None:
        loader = self._world.attempt(self._world.load, LOADER).value
        opens = getattr(loader, _OPENS, None)
        return None if opens is None else self._world.attempt(self._world.call_blindly, opens, config).error

    def failed(self) -> list[tuple[Any, BaseException]]:
        """The datasets without a name that could not be opened, and why not."""
        errors = [(config, outcome.error) for config, outcome in self.opened if not getattr(config, "repo_id", None)]
        return [(config, error) for config, error in errors if error is not None and not _is_of_actions(error)]

    def is_opened_by_name(self, config: Any) -> bool:
        """Whether a dataset is opened where the configuration names it."""
        named = copy.copy(config)
        object.__setattr__(named, "repo_id", "/data")
        return _is_found(Outcome(error=self._open(named)))


def run_functions(world: World, script: types.ModuleType) -> Iterator[BaseException | None]:
    """Calls every function of a script, the longest first; the error of each, or None."""
    own = [each for each in vars(script).values() if _is_own_function(each, script)]
    for function in sorted(own, key=lambda each: -_length(each)):
        yield world.attempt(world.call_blindly, function).error


def _is_own_function(value: Any, script: types.ModuleType) -> bool:
    return isinstance(value, types.FunctionType) and value.__globals__ is vars(script)


def _length(function: types.FunctionType) -> int:
    lines = [line for *_, line in function.__code__.co_lines() if line]
    return max(lines) - min(lines) if lines else 0


def folder_keyword(world: World, script: str) -> Finding | None:
    """Whether `DataConfig` takes the folder that it is given, and the loader opens it."""
    seen = Watched(world, script)
    if seen.refused is not None:
        return fault(said(seen.refused), raised_at(seen.refused))
    known = [each for each, outcome in seen.opened if _is_found(outcome) or getattr(each, "repo_id", None)]
    for config, error in seen.failed():
        if seen.is_opened_by_name(config):
            return fault(f"the loader does not know what to open: {said(error)}", raised_at(error))
    return fixed("`DataConfig` was made, and knows its dataset", "") if known else None


def value_dataset(world: World, script: str) -> Finding | None:
    """Whether the folder leads elsewhere than to a dataset of the fork's own reader."""
    made: list[Any] = []
    world.when_loaded(lambda name, module: _note_datasets(module, made) if name == READER else None)
    seen = Watched(world, script)
    found = [outcome for _, outcome in seen.opened if _is_found(outcome)]
    return fixed("the folder does not open as `ValueDataset`", "") if found and not made else None


def _note_datasets(module: types.ModuleType, made: list[Any]) -> None:
    """Has the classes of a module that give frames by their place write down what is made of them."""
    for name, kind in list(vars(module).items()):
        if isinstance(kind, type) and "__getitem__" in vars(kind):
            note_made(module, name, made)


def action_sequences(world: World, script: str) -> Finding | None:
    """Whether a dataset that has no column `actions` is opened."""
    take_any_folder(world)
    seen = Watched(world, script)
    errors = [outcome.error for _, outcome in seen.opened]
    if not errors:
        return None
    error = errors[-1]
    if _is_of_actions(error):
        return fault("a dataset without a column `actions` is asked for sequences of it", raised_at(error))
    return fixed("a dataset without a column `actions` was opened", "") if error is None else None


def _is_found(outcome: Outcome) -> bool:
    """Whether a dataset was found, which may not have every column that is asked for."""
    return outcome.error is None or _is_of_actions(outcome.error)


def _is_of_actions(error: BaseException | None) -> TypeGuard[BaseException]:
    return isinstance(error, KeyError) and error.args == (ABSENT,)


def labelling_data(world: World, script: str) -> Finding | None:
    """Both, of Stage 5."""
    folder = folder_keyword(world, script)
    if folder is None or folder.verdict == "fault":
        return folder
    return action_sequences(world.again(), script)
