"""From advantages to indicators: thresholds from autonomous frames, and what overrides them."""

import dataclasses

import numpy as np

from pistar_vf.errors import LabelError
from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns.advantages import gae_advantages, monte_carlo_advantages, n_step_advantages
from pistar_vf.typing import Bool, Float, Int
from pistar_vf.upstream.labels import upstream_labels

NONE, NEGATIVE, POSITIVE, KEPT = 0, 1, 2, 3
"""Codes of `Labels.code`; KEPT frames (demonstrations) keep the word they have."""
WORDS = ("none", "negative", "positive")


@dataclasses.dataclass(frozen=True)
class Labels:
    """The indicator of every frame.

    Attributes:
        code: NONE, NEGATIVE, POSITIVE or KEPT.
        advantage: of every frame.
        thresholds: of every task, by its position in `Rollouts.tasks`; NaN for a task without autonomous frames.
    """

    code: Int[np.ndarray, " t"]
    advantage: Float[np.ndarray, " t"]
    thresholds: Float[np.ndarray, " tasks"]


def compute_advantages(values: Float[np.ndarray, " t"], rollouts: Rollouts, rule: LabelRule) -> Float[np.ndarray, " t"]:
    """Advantages of all frames by the rule's estimator, float64."""
    inputs = (rollouts.reward, values, rollouts.lengths, rollouts.terminal_values(values))
    if rule.estimator == "gae":
        return gae_advantages(*inputs, rule.gae_lambda)
    if rule.estimator == "monte_carlo":
        return monte_carlo_advantages(*inputs)
    return n_step_advantages(*inputs, rule.lookahead)


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
    found = np.full(len(rollouts.tasks), np.nan)
    for task in range(len(rollouts.tasks)):
        own = rollouts.autonomous & (rollouts.task == task)
        pool = own if rule.threshold_per == "task" else rollouts.autonomous
        if not own.any():
            continue
        percentile = 100.0 - rule.top_percent
        found[task] = np.percentile(advantage[pool], percentile) if rule.threshold is None else rule.threshold
    return found


def label_frames(
    advantage: Float[np.ndarray, " t"],
    thresholds: Float[np.ndarray, " tasks"],
    rollouts: Rollouts,
    rule: LabelRule,
    chance_above: Float[np.ndarray, " t"] | None = None,
) -> Labels:
    """Cuts advantages at their task's threshold (strictly above is positive) and applies what overrides it.

    In this order: the abstain band makes "none"; the frames before a takeover become negative; interventions become
    positive, or "none" where the arm stands still; demonstrations keep their labels.

    Args:
        advantage: of every frame.
        thresholds: of every task.
        rollouts: the frames.
        rule: the settings.
        chance_above: P(A > threshold) of every frame, needed for an abstain band.
    """
    code = np.where(advantage > thresholds[rollouts.task], POSITIVE, NEGATIVE).astype(np.int8)
    if rule.abstain:
        code[np.abs(chance_above - 0.5) < rule.abstain] = NONE
    code[before_takeover(rollouts, rule.takeover_frames)] = NEGATIVE
    code[rollouts.intervention] = POSITIVE
    code[rollouts.intervention & rollouts.still] = NONE
    code[rollouts.demonstration] = KEPT
    return Labels(code=code, advantage=advantage, thresholds=thresholds)


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
    """Upstream's labels of all frames (`--compat upstream`); `rollouts.reward` is the dataset's own column, float32."""
    positive, advantage, threshold = upstream_labels(
        values,
        rollouts.reward,
        rollouts.lengths,
        intervention=rollouts.intervention,
        demonstration=rollouts.demonstration,
        lookahead=lookahead,
        top_percent=top_percent,
    )
    code = np.where(positive, POSITIVE, NEGATIVE).astype(np.int8)
    code[rollouts.demonstration] = KEPT
    return Labels(code, advantage, np.full(len(rollouts.tasks), threshold, np.float64))
