"""One line of the doctor's report."""

import dataclasses
from typing import Literal

State = Literal["ok", "warning", "failed", "skipped"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was looked at and what came of it.

    Attributes:
        name: what was looked at.
        state: "failed" has to be repaired; with a warning everything works.
        detail: what was found.
        fix: what to do, one line; empty where nothing is.
    """

    name: str
    state: State
    detail: str
    fix: str = ""


class Concern(Exception):
    """Raised by a check that is not "ok" and knows what to say about it; other exceptions count as "failed"."""

    def __init__(self, state: State, detail: str, fix: str = ""):
        super().__init__(detail)
        self.state, self.detail, self.fix = state, detail, fix


def first_line(error: BaseException) -> str:
    """The exception's type and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
