"""Everything that is wrong with a run, not only the first thing."""

from collections.abc import Callable
from typing import TypeVar

from pistar_vf.errors import ConfigError, PistarError
from pistar_vf.hub.files import HubFiles

T = TypeVar("T")
_HINT = "\nWith --download, this command runs the `hf download` lines above itself, and goes on."


class Problems:
    """Collects what checks raise, so that one message can name all of it."""

    def __init__(self) -> None:
        self._errors: list[PistarError] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    @property
    def downloads(self) -> tuple[HubFiles, ...]:
        """The files on the hub that would cure some of them, each once."""
        return tuple(dict.fromkeys(files for error in self._errors for files in error.downloads))

    def extend(self, others: "Problems") -> None:
        """Takes over the problems of `others`."""
        self._errors += others._errors

    def attempt(self, check: Callable[..., T], *args: object) -> T | None:
        """What `check` returns; None, and a problem more, where it raises a `PistarError`."""
        try:
            return check(*args)
        except PistarError as error:
            self._errors.append(error)
            return None

    def refuse(self) -> None:
        """Does nothing without problems.

        Raises:
            PistarError: the problem, if it is the only one.
            ConfigError: a list of all.
        """
        different = {str(error): error for error in self._errors}
        hint = _HINT if self.downloads else ""
        if len(different) == 1:
            (error,) = different.values()
            raise type(error)(f"{error}{hint}") if hint else error
        if different:
            listed = "\n".join(f"- {text}" for text in different)
            raise ConfigError(f"expected a run that can begin, found {len(different)} problems:\n{listed}{hint}")
