"""From advantages to indicators: thresholds from autonomous frames, and what overrides them."""

import dataclasses
import logging

import numpy as np

from pistar_vf.errors import LabelError
from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.horizons import Horizons
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns import Outcome
from pistar_vf.returns.advantages import gae_advantages, monte_carlo_advantages, n_step_advantages
from pistar_vf.typing import Bool, Float, Int
from pistar_vf.upstream.labels import upstream_labels

_log = logging.getLogger(__name__)

NONE, NEGATIVE, POSITIVE, KEPT = 0, 1, 2, 3
"""Codes of `Labels.code`; KEPT frames (demonstrations) keep the word they have."""
WORDS = ("none", "negative", "positive")


@dataclasses.dataclass(frozen=True)
class Labels:
    """The indicator of every frame.

    Attributes:
        code: NONE, NEGATIVE, POSITIVE or KEPT.
        advantage: of every frame.
        thresholds: of every task, by its position in `Rollouts.tasks`; NaN for a task without autonomous frames in
            whole episodes.
        chance: P(A > threshold) of every frame by the predicted distributions; None where nobody asked for it.
    """

    code: Int[np.ndarray, " t"]
    advantage: Float[np.ndarray, " t"]
    thresholds: Float[np.ndarray, " tasks"]
    chance: Float[np.ndarray, " t"] | None = None


def compute_advantages(values: Float[np.ndarray, " t"], rollouts: Rollouts, rule: LabelRule) -> Float[np.ndarray, " t"]:
    """Advantages of all frames by the rule's estimator, float64; none looks beyond a takeover.

    Steps past a takeover or past the end of a failure cost, too, as far as the estimator looks (see `Horizons`).
    Returns do not go below -1, as the targets do not, and look no further than the end.
    """
    horizons = Horizons.of(rollouts)
    if rule.estimator == "monte_carlo" or (rule.estimator == "gae" and rule.gae_lambda == 1.0):
        advantage = plain_advantages(values, rollouts, rule, horizons)
        return np.maximum(advantage + values, -1.0) - values
    paid, cost = horizons.steps_paid(), horizons.layout.spread(horizons.cost)
    if rule.estimator == "gae":
        beyond = rule.gae_lambda**paid / (1.0 - rule.gae_lambda)
    else:
        beyond = np.maximum(rule.num_steps - paid, 0)
    return plain_advantages(values, rollouts, rule, horizons) - cost * beyond


def plain_advantages(
    values: Float[np.ndarray, " t"], rollouts: Rollouts, rule: LabelRule, horizons: Horizons
) -> Float[np.ndarray, " t"]:
    """The estimator's formula on each stretch, without the costs beyond its end."""
    inputs = (rollouts.reward, values, horizons.lengths, horizons.terminal_values(values, rollouts))
    if rule.estimator == "gae":
        return gae_advantages(*inputs, rule.gae_lambda)
    if rule.estimator == "monte_carlo":
        return monte_carlo_advantages(*inputs)
    return n_step_advantages(*inputs, rule.num_steps)


def find_thresholds(
    advantage: Float[np.ndarray, " t"], rollouts: Rollouts, rule: LabelRule
) -> Float[np.ndarray, " tasks"]:
    """The threshold of every task, from frames in which the policy acted.

    Raises:
        LabelError: there are no such frames at all.
    """
    if not rollouts.autonomous.any():
        raise LabelError(
            f"{rollouts.name}: expected frames in which the policy acted, got only interventions; demonstrations are "
            "positive by definition and need no relabelling"
        )
    if not rollouts.counted.any() and rule.threshold is None:
        raise LabelError(
            f"{rollouts.name}: expected whole episodes in which the policy acted, to measure thresholds on, got only "
            "fragments and interventions; merge whole rollouts with them (`pistar-vf merge`), or pass --threshold"
        )
    percents = positive_percents(rollouts, rule)
    found = np.full(len(rollouts.tasks), np.nan)
    for task in range(len(rollouts.tasks)):
        pool = _pool(rollouts, rule, task)
        if rule.threshold is not None:
            if _acted(rollouts, task).any():
                found[task] = rule.threshold
        elif pool.any():
            found[task] = np.percentile(advantage[pool], 100.0 - percents[task])
    return found


def positive_percents(rollouts: Rollouts, rule: LabelRule) -> Float[np.ndarray, " tasks"]:
    """The share of autonomous frames that becomes positive, by task: `top_percent`, or what is not in failures.

    Where successes are rarer than that, the rest of the positives would be frames of failures, their flat ends among
    them. NaN for a task without autonomous frames.
    """
    failed = rollouts.outcome_is(Outcome.FAILURE)[rollouts.episode]
    found = np.full(len(rollouts.tasks), np.nan)
    for task in range(len(rollouts.tasks)):
        pool = _pool(rollouts, rule, task)
        if pool.any():
            found[task] = min(rule.top_percent, 100.0 * (1.0 - failed[pool].mean()))
    return found


def warn_where_successes_are_rare(rollouts: Rollouts, rule: LabelRule) -> None:
    """Says where fewer frames become positive than are asked for."""
    if rule.threshold is not None:
        return
    for task, percent in zip(rollouts.tasks, positive_percents(rollouts, rule)):
        if percent < rule.top_percent:
            _log.warning(
                "'%s': %.1f %% of the policy's frames become positive instead of %g %%: no more lie outside failures. "
                "--threshold decides otherwise",
                task,
                percent,
                rule.top_percent,
            )


def _pool(rollouts: Rollouts, rule: LabelRule, task: int) -> Bool[np.ndarray, " t"]:
    """The frames that a task's threshold is from; none for a task in which the policy never acted."""
    own = _acted(rollouts, task)
    return rollouts.counted if own.any() and rule.threshold_per == "dataset" else own & rollouts.counted


def _acted(rollouts: Rollouts, task: int) -> Bool[np.ndarray, " t"]:
    return rollouts.autonomous & (rollouts.task == task)


def label_frames(
    advantage: Float[np.ndarray, " t"],
    thresholds: Float[np.ndarray, " tasks"],
    rollouts: Rollouts,
    rule: LabelRule,
    chance_above: Float[np.ndarray, " t"] | None = None,
) -> Labels:
    """Cuts advantages at their task's threshold (strictly above is positive) and applies what overrides it.

    In this order: the abstain band makes "none", and so does a task without a threshold; the frames before a takeover
    become negative; interventions become positive, or "none" where the arm stands still; demonstrations keep their
    labels.

    Args:
        advantage: of every frame.
        thresholds: of every task.
        rollouts: the frames.
        rule: the settings.
        chance_above: P(A > threshold) of every frame, needed for an abstain band.
    """
    code = np.where(advantage > thresholds[rollouts.task], POSITIVE, NEGATIVE).astype(np.int8)
    if rule.abstain:
        assert chance_above is not None
        code[np.abs(chance_above - 0.5) < rule.abstain] = NONE
    code[np.isnan(thresholds[rollouts.task])] = NONE
    code[before_takeover(rollouts, rule.takeover_frames)] = NEGATIVE
    code[rollouts.intervention] = POSITIVE
    code[rollouts.intervention & rollouts.still] = NONE
    code[rollouts.demonstration] = KEPT
    return Labels(code=code, advantage=advantage, thresholds=thresholds, chance=chance_above)


def before_takeover(rollouts: Rollouts, num_frames: int) -> Bool[np.ndarray, " t"]:
    """Autonomous frames at most `num_frames` before the operator took over in the same episode."""
    position = np.arange(len(rollouts.intervention))
    sentinel = len(position) + num_frames
    # The next intervention at or after each frame, seen from the end.
    following = np.minimum.accumulate(np.where(rollouts.intervention, position, sentinel)[::-1])[::-1]
    inside = following < rollouts.layout.spread(rollouts.layout.ends)
    return ~rollouts.intervention & inside & (following - position <= num_frames)


def label_as_upstream(
    values: Float[np.ndarray, " t"], rollouts: Rollouts, lookahead: int, top_percent: float
) -> Labels:
    """Upstream's labels of all frames (`--compat upstream`); `rollouts.reward` is the dataset's own column, float32.

    It knows no fragments.
    """
    demonstration = rollouts.layout.spread(rollouts.driven)
    positive, advantage, threshold = upstream_labels(
        values,
        rollouts.reward,
        rollouts.lengths,
        intervention=rollouts.intervention,
        demonstration=demonstration,
        lookahead=lookahead,
        top_percent=top_percent,
    )
    code = np.where(positive, POSITIVE, NEGATIVE).astype(np.int8)
    code[demonstration] = KEPT
    return Labels(code, advantage, np.full(len(rollouts.tasks), threshold, np.float64))
