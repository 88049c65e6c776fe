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


def counted_outcome(outcome: Outcome, timeout_as: TimeoutAs | None) -> Outcome:
    """The outcome that labels are made for.

    Args:
        outcome: how the episode ended.
        timeout_as: what a time-out counts as; "bootstrap" leaves it one. There is no default: all answers are in use.

    Raises:
        LabelError: the outcome is a time-out and `timeout_as` is None.
    """
    if outcome is not Outcome.TIMEOUT or timeout_as == "bootstrap":
        return outcome
    if timeout_as is None:
        raise LabelError(
            "expected to be told what a timeout counts as, got an episode with the outcome 'timeout' and "
            "timeout_as=None; pass timeout_as='bootstrap' (its value is left to training), 'failure' (-1) or 'success'"
        )
    return Outcome(timeout_as)
