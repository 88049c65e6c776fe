"""Labels of a dataset's frames, of many kinds: the library's own, those of an oracle, and wrong ones.

What the library labels is labelled here by the library's own functions; `metaworld.py` checks that they give what
`pistar-vf relabel` wrote.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from pistar_vf.relabel.clock import Clock
from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.label import POSITIVE, compute_advantages, find_thresholds, label_frames
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns import Outcome
from pistar_vf.returns.advantages import n_step_advantages
from pistar_vf.typing import Bool, Float
from simulated.truth import Truth


@dataclasses.dataclass(frozen=True)
class Units:
    """What the model's units make of a dataset.

    Attributes:
        reward: of every frame.
        target: of every frame.
    """

    reward: Float[np.ndarray, " t"]
    target: Float[np.ndarray, " t"]


def outcomes_of(truth: Truth) -> tuple[Outcome, ...]:
    """How every episode ended."""
    return tuple(Outcome.SUCCESS if won else Outcome.FAILURE for won in truth.succeeded)


def rollouts_of(truth: Truth, units: Units) -> Rollouts:
    """The dataset as relabelling sees it; nobody intervened."""
    nowhere = np.zeros(len(truth.progress), bool)
    return Rollouts(
        name="metaworld",
        lengths=truth.lengths,
        outcomes=outcomes_of(truth),
        tasks=tuple(truth.tasks.tolist()),
        task=truth.task_of_frames.astype(np.int64),
        intervention=nowhere,
        still=nowhere,
        reward=units.reward,
        target=units.target,
        keeps_last_value=np.zeros(len(truth.lengths), bool),
    )


def cut(advantage: Float[np.ndarray, " t"], rollouts: Rollouts, rule: LabelRule) -> Bool[np.ndarray, " t"]:
    """Positive frames by the library's thresholds."""
    return label_frames(advantage, find_thresholds(advantage, rollouts, rule), rollouts, rule).code == POSITIVE


def by_values(value: Float[np.ndarray, " t"], rollouts: Rollouts, rule: LabelRule) -> Bool[np.ndarray, " t"]:
    """The library's labels."""
    return cut(compute_advantages(value, rollouts, rule), rollouts, rule)


def by_clock(rollouts: Rollouts, rule: LabelRule) -> Bool[np.ndarray, " t"]:
    """The same with a clock in V's place."""
    return by_values(Clock.of(rollouts).guess, rollouts, rule)


def by_true_gain(truth: Truth, rollouts: Rollouts, rule: LabelRule) -> Bool[np.ndarray, " t"]:
    """What a perfect judge of progress would say."""
    return cut(truth.gain(rule.num_steps), rollouts, rule)


def at_random(num_frames: int, rule: LabelRule, seed: int) -> Bool[np.ndarray, " t"]:
    """As many positives, anywhere."""
    return np.random.default_rng(seed).random(num_frames) < rule.top_percent / 100


Mutant = Callable[[np.ndarray, Rollouts, LabelRule], np.ndarray]
"""(values, rollouts, rule) to wrong advantages."""


def _sign_flipped(value: np.ndarray, rollouts: Rollouts, rule: LabelRule) -> np.ndarray:
    return -compute_advantages(value, rollouts, rule)


def _no_penalty(value: np.ndarray, rollouts: Rollouts, rule: LabelRule) -> np.ndarray:
    """F = 0 past every end and no penalty, as upstream's script has it: dying is worth as much as succeeding."""
    reward = rollouts.reward.copy()
    reward[rollouts.layout.last_frames] = 0.0
    return n_step_advantages(reward, value, rollouts.lengths, np.zeros(len(rollouts.lengths)), rule.num_steps)


def _across_episodes(value: np.ndarray, rollouts: Rollouts, rule: LabelRule) -> np.ndarray:
    """V of N frames later, whatever episode that is, and every step costs the same."""
    reward = rollouts.layout.spread(rollouts.reward[rollouts.layout.starts])
    return n_step_advantages(reward, value, np.array([len(value)]), np.zeros(1), rule.num_steps)


def _late(value: np.ndarray, rollouts: Rollouts, rule: LabelRule) -> np.ndarray:
    """Every label lands N frames late."""
    advantage, layout = compute_advantages(value, rollouts, rule), rollouts.layout
    source = np.maximum(np.arange(len(value)) - rule.num_steps, layout.spread(layout.starts))
    return advantage[source]


MUTANTS: dict[str, Mutant] = {
    "sign flipped": _sign_flipped,
    "F = 0": _no_penalty,
    "V of the next episode": _across_episodes,
    "N frames late": _late,
}
"""Plausible wrong implementations; each must be caught by a measure."""


def mutants(
    value: Float[np.ndarray, " t"], truth: Truth, rollouts: Rollouts, rule: LabelRule
) -> dict[str, Bool[np.ndarray, " t"]]:
    """Labels of every wrong implementation, and those that know the outcome alone."""
    found = {name: cut(wrong(value, rollouts, rule), rollouts, rule) for name, wrong in MUTANTS.items()}
    return {**found, "outcome": truth.success_of_frames}
