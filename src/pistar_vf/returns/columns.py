"""The five RECAP columns of one episode."""

from typing import Any

import numpy as np

from pistar_vf.choices import TimeoutAs
from pistar_vf.errors import LabelError
from pistar_vf.returns.conventions import WRITABLE, find_convention, step_labels
from pistar_vf.returns.normaliser import Normaliser
from pistar_vf.returns.outcome import OPEN_ENDED, Outcome, counted_outcome
from pistar_vf.typing import Float, Shaped

RECAP_COLUMNS = ("intervention", "reward", "reward_label", "value_label", "adv_ind")


def recap_columns(
    length: int,
    outcome: Outcome | str,
    intervention: Shaped[np.ndarray, "..."] | None = None,
    *,
    timeout_as: TimeoutAs | None = None,
    convention: str = "recap",
    normaliser: Normaliser | None = None,
    task: str = "",
) -> dict[str, Shaped[np.ndarray, " t"]]:
    """The five RECAP columns of one episode.

    Args:
        length: T, number of frames, at least 1.
        outcome: how the episode ended, an `Outcome` or its word.
        intervention: 1 (or True) in frames where the operator was driving; None for nowhere.
        timeout_as: what a time-out counts as, see `outcome.counted_outcome`.
        convention: one of `conventions.WRITABLE`.
        normaliser: writes its targets and rewards instead of a convention's.
        task: the episode's prompt, for the normaliser.

    Returns:
        `intervention` int64 in {0, 1}; `reward` float32, 1 at the last frame of a success, else 0; `reward_label` and
        `value_label` float32; `adv_ind` strings, "positive" where the operator was driving, else "none". The
        `value_label` of a time-out that is left one is NaN: it is known only in training; that of a fragment is NaN,
        too, and stays unknown. Their rewards are those of an episode of that length.

    Raises:
        LabelError: no frames, an unknown outcome, an intervention that is not one 0 or 1 per frame, an unmapped
            time-out, or a convention that an outcome does not decide.
    """
    if length < 1:
        raise LabelError(f"expected an episode of at least 1 frame, got {length}")
    outcome = counted_outcome(outcome, timeout_as)
    intervention = _check_intervention(length, intervention)
    reward = np.zeros(length, np.float32)
    reward[-1] = float(outcome is Outcome.SUCCESS)
    if normaliser is None:
        value_label, reward_label = _convention_labels(convention, length, outcome)
    else:
        episode: tuple[Any, ...] = (np.array([length]), [task], [outcome])
        value_label, reward_label = normaliser.targets(*episode), normaliser.rewards(*episode)
    return {
        "intervention": intervention,
        "reward": reward,
        "reward_label": reward_label,
        "value_label": value_label,
        "adv_ind": np.where(intervention == 1, "positive", "none"),
    }


def _convention_labels(
    name: str, length: int, outcome: Outcome
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    convention = find_convention(name)
    if name not in WRITABLE:
        raise LabelError(
            f"expected a convention that an outcome decides ({', '.join(WRITABLE)}), got '{name}', whose values are "
            f"{convention.value}; it can be read, not written"
        )
    failed = np.array([outcome is Outcome.FAILURE])
    value, reward = step_labels(convention, np.array([length]), failed)
    if outcome in OPEN_ENDED:
        value[:] = np.nan
    return value, reward


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
