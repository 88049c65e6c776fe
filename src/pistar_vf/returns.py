"""What one episode and its outcome say about the value of every frame: the five RECAP columns.

Plain numpy, one episode at a time. T frames, t = 0 … T-1.

References:
    Physical Intelligence, "π*0.6", arXiv 2511.14759, section V-C (reward of -1 per step, Monte-Carlo return,
    normalised). The columns divide by the episode's own length T, as the tool the public datasets come from does.
"""

from enum import StrEnum
from typing import Literal

import numpy as np

from pistar_vf.errors import LabelError
from pistar_vf.typing import Float, Shaped

RECAP_COLUMNS = ("intervention", "reward", "reward_label", "value_label", "adv_ind")


class Outcome(StrEnum):
    """How an episode ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"


def value_ramp(length: int, success: bool) -> Float[np.ndarray, " t"]:
    """The value label of every frame: -(T-1-t)/T in a success, -1 in a failure.

    Args:
        length: T, number of frames, at least 1.
        success: whether the episode reached its goal.

    Returns:
        float32 in [-1, 0]; in a success the last frame is exactly 0.

    Raises:
        LabelError: the episode has no frames.
    """
    _check_length(length)
    if not success:
        return np.full(length, -1.0, np.float32)
    frames_left = np.arange(length)[::-1]
    return (-frames_left / length).astype(np.float32)


def is_success(outcome: Outcome, timeout_as: Literal["success", "failure"] | None = None) -> bool:
    """Whether an outcome counts as a success.

    Args:
        outcome: how the episode ended.
        timeout_as: what a timeout counts as; there is no default, because both answers are in use.

    Raises:
        LabelError: the outcome is a timeout and `timeout_as` is None.
    """
    if outcome is Outcome.TIMEOUT:
        if timeout_as is None:
            raise LabelError(
                "expected to be told what a timeout counts as, got an episode with the outcome 'timeout' and "
                "timeout_as=None; pass timeout_as='failure' (its value is -1) or 'success'"
            )
        return timeout_as == "success"
    return outcome is Outcome.SUCCESS


def recap_columns(
    length: int,
    outcome: Outcome,
    intervention: Shaped[np.ndarray, "..."] | None = None,
    *,
    timeout_as: Literal["success", "failure"] | None = None,
) -> dict[str, Shaped[np.ndarray, " t"]]:
    """The five RECAP columns of one episode.

    Args:
        length: T, number of frames, at least 1.
        outcome: how the episode ended.
        intervention: 1 (or True) in frames where the operator was driving; None for nowhere.
        timeout_as: what a timeout counts as, see `is_success`.

    Returns:
        `intervention` int64 in {0, 1}; `reward` float32, 1 at the last frame of a success, else 0; `reward_label`
        float32, -1/T everywhere but 0 at the last frame; `value_label` float32, see `value_ramp`; `adv_ind`
        strings, "positive" where the operator was driving, else "none".

    Raises:
        LabelError: no frames, an intervention that is not one 0 or 1 per frame, or an unmapped timeout.
    """
    _check_length(length)
    success = is_success(outcome, timeout_as)
    intervention = _check_intervention(length, intervention)
    reward = np.zeros(length, np.float32)
    reward[-1] = float(success)
    reward_label = np.full(length, -1.0 / length, np.float32)
    reward_label[-1] = 0.0
    return {
        "intervention": intervention,
        "reward": reward,
        "reward_label": reward_label,
        "value_label": value_ramp(length, success),
        "adv_ind": np.where(intervention == 1, "positive", "none"),
    }


def _check_length(length: int) -> None:
    if length < 1:
        raise LabelError(f"expected an episode of at least 1 frame, got {length}")


def _check_intervention(length: int, intervention: Shaped[np.ndarray, "..."] | None) -> Shaped[np.ndarray, " t"]:
    if intervention is None:
        return np.zeros(length, np.int64)
    if intervention.shape not in ((length,), (length, 1)):
        raise LabelError(f"intervention: expected one number for each of {length} frames, got {intervention.shape}")
    flags = intervention.reshape(-1)
    if flags.dtype.kind not in "biuf" or not np.isin(flags, (0, 1)).all():
        raise LabelError(
            f"intervention: expected 0 or 1 in every frame, got {np.unique(flags)[:5].tolist()}; "
            "write 1 where the operator was driving and 0 elsewhere"
        )
    return flags.astype(np.int64)
