"""How an episode ended, and what a time-out counts as."""

from enum import StrEnum
from typing import Literal, TypeAlias

from pistar_vf.errors import LabelError

TimeoutAs: TypeAlias = Literal["bootstrap", "failure", "success"]


class Outcome(StrEnum):
    """How an episode ended. A time-out was cut off: nobody knows how it would have gone on."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"


def as_outcome(outcome: Outcome | str) -> Outcome:
    """The outcome that a caller means; every public door goes through here, as words and members look alike.

    Raises:
        LabelError: there is no such outcome.
    """
    try:
        return Outcome(outcome)
    except ValueError as error:
        raise LabelError(
            f"outcome: expected one of {', '.join(Outcome)}, got {outcome!r}; say how the episode ended"
        ) from error


def counted_outcome(outcome: Outcome | str, timeout_as: TimeoutAs | None) -> Outcome:
    """The outcome that labels are made for.

    Args:
        outcome: how the episode ended, an `Outcome` or its word.
        timeout_as: what a time-out counts as; "bootstrap" leaves it one. There is no default: all answers are in use.

    Raises:
        LabelError: there is no such outcome, or it is a time-out and `timeout_as` is None.
    """
    outcome = as_outcome(outcome)
    if outcome is not Outcome.TIMEOUT or timeout_as == "bootstrap":
        return outcome
    if timeout_as is None:
        raise LabelError(
            "expected to be told what a timeout counts as, got an episode with the outcome 'timeout' and "
            "timeout_as=None; pass timeout_as='bootstrap' (its value is left to training), 'failure' (-1) or 'success'"
        )
    return Outcome(timeout_as)
