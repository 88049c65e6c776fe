"""A promise of a document, and a command of one."""

import dataclasses
from collections.abc import Callable
from typing import Any

HELD, NOT, ELSEWHERE = "held", "not", "not shown here"


class NotHeldError(AssertionError):
    """A promise that does not hold; says why."""


@dataclasses.dataclass(frozen=True)
class Promise:
    """One thing that a document says one can rely on.

    Attributes:
        section: of the document.
        words: of the document.
        check: given the world, says what was seen; raises `NotHeldError`. None where `needs` says what is missing.
        needs: "real weights", "a GPU" or "their dataset", of what nothing here can show.
        quick: whether the check starts no command.
    """

    section: str
    words: str
    check: Callable[[Any], str] | None = None
    needs: str = ""
    quick: bool = True


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a document.

    Attributes:
        words: as printed.
        place: the folder it is given in, below the home folder.
        instead: what is said in the place of sizes and placeholder paths.
        more: flags besides, and why they are needed.
        why: of `more`.
        after: commands that must have run before.
        layers: of the stand-in's language model; 18, the published number, where leaves are counted.
    """

    words: str
    place: str
    instead: tuple[tuple[str, str], ...] = ()
    more: str = ""
    why: str = ""
    after: tuple[str, ...] = ()
    layers: int = 2

    def typed(self) -> str:
        """What the shell is given."""
        text = self.words
        for printed, stand_in in self.instead:
            if printed not in text:
                raise ValueError(f"expected '{printed}' in the command, got: {text}")
            text = text.replace(printed, stand_in)
        return f"{text.rstrip()} {self.more}".rstrip()


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of a promise."""

    document: str
    section: str
    words: str
    verdict: str
    reason: str


def judge(document: str, promise: Promise, world: Any) -> Row:
    """Checks one promise."""
    if promise.check is None:
        return Row(document, promise.section, promise.words, ELSEWHERE, f"needs {promise.needs}")
    try:
        verdict, reason = HELD, promise.check(world)
    except NotHeldError as error:
        verdict, reason = NOT, str(error)
    except Exception as error:  # the others are still to be tried
        verdict, reason = NOT, f"{type(error).__name__}: {error}"
    return Row(document, promise.section, promise.words, verdict, reason)


def require(holds: object, reason: str) -> None:
    """Refuses.

    Raises:
        NotHeldError: it does not hold.
    """
    if not holds:
        raise NotHeldError(reason)
