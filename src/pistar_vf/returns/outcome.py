"""How an episode ended, what its labels say about that, and what counts where nobody knows."""

from enum import StrEnum

import numpy as np

from pistar_vf.choices import TimeoutAs
from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.errors import LabelError
from pistar_vf.typing import Bool, Float

LABEL_TOLERANCE = 1e-5
"""By which two labels of the same meaning may differ: float32 rounding, however they were computed."""


class Outcome(StrEnum):
    """How an episode ended.

    A time-out is a whole episode that was cut off: nobody knows how it would have gone on. A fragment is a piece of an
    episode: nobody knows how much came before it, either. It is never a failure, says nothing about how long a task
    takes, is not trained on, and no threshold is measured on it.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    FRAGMENT = "fragment"


OPEN_ENDED = frozenset((Outcome.TIMEOUT, Outcome.FRAGMENT))
"""Outcomes that leave the value of the last frame open."""


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


def all_at_bottom(labels: Float[np.ndarray, " t"], layout: EpisodeLayout) -> Bool[np.ndarray, " e"]:
    """Which episodes are labelled -1 in every frame, give or take `LABEL_TOLERANCE`; a NaN is not -1.

    The one rule by which the labels of a failure are told from those of a success, in conventions that count an
    episode's own steps.
    """
    return layout.all(labels <= -1 + LABEL_TOLERANCE)


def labelled_outcomes(labels: Float[np.ndarray, " t"], layout: EpisodeLayout) -> tuple[Outcome, ...]:
    """How each episode ended as far as its value labels show it, whatever their convention.

    Failures are those of `all_at_bottom`; an episode with a NaN is a time-out.

    Args:
        labels: of all frames, in [-1, 0].
        layout: how they divide into episodes.
    """
    ended = np.where(all_at_bottom(labels, layout), Outcome.FAILURE, Outcome.SUCCESS)
    return tuple(Outcome(found) for found in np.where(layout.any(np.isnan(labels)), Outcome.TIMEOUT, ended))


def counted_outcome(outcome: Outcome | str, timeout_as: TimeoutAs | None) -> Outcome:
    """The outcome that labels are made for.

    Args:
        outcome: how the episode ended, an `Outcome` or its word.
        timeout_as: what a time-out counts as; "bootstrap" leaves it one. There is no default: all answers are in use.
            A fragment stays one whatever it says.

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
