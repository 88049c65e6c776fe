"""Which `DataConfig` a script's functions make, and what becomes of it in the loader."""

import functools
import types
from collections.abc import Iterator
from typing import Any

from pistar_vf.faults.finding import Finding, fault, fixed
from pistar_vf.rehearsal.forgiving import CONFIG, FOLDER, LOADER, leave_frames_alone
from pistar_vf.rehearsal.seen import raised_at, said
from pistar_vf.rehearsal.stand_in import ABSENT
from pistar_vf.rehearsal.world import Outcome, World

_OPENS = "create_torch_dataset"


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
        if loaded.error is None:
            self._run(loaded.value)

    def _watch(self, name: str, module: types.ModuleType) -> None:
        if name == CONFIG and isinstance(getattr(module, "DataConfig", None), type):
            module.DataConfig.__new__ = self._note_config
        if name == LOADER and callable(getattr(module, _OPENS, None)):
            setattr(module, _OPENS, self._noting(getattr(module, _OPENS)))

    def _note_config(self, kind: type, *_: Any, **__: Any) -> Any:
        self.made.append(object.__new__(kind))
        return self.made[-1]

    def _noting(self, opens: Any) -> Any:
        @functools.wraps(opens)
        def noting(config: Any, *args: Any, **kwargs: Any) -> Any:
            self._world.asks_for_absent = True
            try:
                value = opens(config, *args, **kwargs)
            except Exception as error:
                self.opened.append((config, Outcome(error=error)))
                raise
            finally:
                self._world.asks_for_absent = False
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
        whole = [each for each in self.made if getattr(each, "repo_id", None) or getattr(each, FOLDER, None)]
        loader = self._world.attempt(self._world.load, LOADER).value
        opens = getattr(loader, _OPENS, None)
        if whole and opens is not None:
            self._world.attempt(self._world.call_blindly, opens, whole[-1])


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
    """Whether `DataConfig` takes the folder that it is given."""
    seen = Watched(world, script)
    if seen.refused is not None:
        return fault(said(seen.refused), raised_at(seen.refused))
    known = [config for config, _ in seen.opened if getattr(config, "repo_id", None) or getattr(config, FOLDER, None)]
    return fixed("`DataConfig` was made, and knows its dataset", "") if known else None


def action_sequences(world: World, script: str) -> Finding | None:
    """Whether a dataset that has no column `actions` is opened."""
    seen = Watched(world, script)
    errors = [outcome.error for _, outcome in seen.opened]
    if not errors:
        return None
    error = errors[-1]
    if isinstance(error, KeyError) and error.args == (ABSENT,):
        return fault("a dataset without a column `actions` is asked for sequences of it", raised_at(error))
    return fixed("a dataset without a column `actions` was opened", "") if error is None else None


def labelling_data(world: World, script: str) -> Finding | None:
    """Both, of Stage 5."""
    folder = folder_keyword(world, script)
    if folder is None or folder.verdict == "fault":
        return folder
    return action_sequences(World(world.tree, world.truth), script)
