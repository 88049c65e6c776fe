"""Is V more than noise from frame to frame, and are the advantages? Judged as `Evidence` says, inside successes."""

import math

import numpy as np

from pistar_vf.relabel import thresholds
from pistar_vf.relabel.evidence import Evidence, Group
from pistar_vf.relabel.judging import at_most_zero, by_group
from pistar_vf.relabel.verdict import Criterion, Finding, Verdict
from pistar_vf.typing import Bool, Float


def judge_noise(evidence: Evidence) -> tuple[Criterion, ...]:
    """Both questions."""
    return _is_smooth(evidence), _signal_in_advantages(evidence)


def _is_smooth(evidence: Evidence) -> Criterion:
    far = max(2, min(evidence.rule.num_steps, int(np.median(evidence.rollouts.lengths)) // 4))

    def find(group: Group) -> Finding | None:
        near, wide = (_changes(evidence, group.episodes & evidence.success, steps) for steps in (1, far))
        common = np.isfinite(near) & np.isfinite(wide)
        if not common.any():
            return Finding(group.name, "needs successes", Verdict.NOT_SHOWN) if group.alone else None
        near, wide = near[common], wide[common]
        ratio = near.mean() / wide.mean() if wide.any() else math.inf
        verdict = at_most_zero(near - thresholds.MAX_NOISE * wide, clearance=1.0) if wide.any() else Verdict.FAILED
        return Finding(group.name, f"|dV| of neighbours is {ratio:.2f} of |dV| over {far} frames", verdict)

    return Criterion(
        "signal above noise",
        by_group(evidence, find),
        f"<= {thresholds.MAX_NOISE}",
        "V jumps from frame to frame",
        "record more successes",
    )


def _signal_in_advantages(evidence: Evidence) -> Criterion:
    """Drift is in V and not in A: noise that is small beside the one can be all of the other."""

    def find(group: Group) -> Finding | None:
        episodes = group.episodes & evidence.success
        frames = evidence.of(episodes)
        near = _fast_noise(evidence, episodes)
        if not np.isfinite(near).any():
            return Finding(group.name, "needs successes", Verdict.NOT_SHOWN) if group.alone else None
        advantage = evidence.labels.advantage
        spread = np.full(len(near), np.nan)
        spread[np.unique(evidence.rollouts.episode[frames])] = evidence.means(
            (advantage - advantage[frames].mean()) ** 2, frames
        )
        common = np.isfinite(near) & np.isfinite(spread)
        near, spread = near[common], spread[common]
        ratio = math.sqrt(near.mean() / spread.mean()) if near.any() and spread.any() else 0.0
        verdict = at_most_zero(near - thresholds.MAX_ADVANTAGE_NOISE**2 * spread)
        return Finding(group.name, f"noise between neighbours is {ratio:.2f} of the spread of A", verdict)

    return Criterion(
        "advantages above noise",
        by_group(evidence, find),
        f"<= {thresholds.MAX_ADVANTAGE_NOISE}",
        "the advantages inside successes are noise: another draw would give other labels",
        "record more successes",
    )


def _changes(evidence: Evidence, episodes: Bool[np.ndarray, " e"], steps: int) -> Float[np.ndarray, " e"]:
    """Mean |V_{t+steps} - V_t| between judged frames of each of some episodes; NaN without any."""
    values, together = evidence.values.astype(np.float64), _together(evidence, episodes, steps)
    change = np.abs(values[steps:] - values[:-steps])
    return _mean_of_each(change, together, evidence, len(episodes))


def _fast_noise(evidence: Evidence, episodes: Bool[np.ndarray, " e"]) -> Float[np.ndarray, " e"]:
    """Variance that noise between neighbouring frames gives A, for each of some episodes; NaN without any.

    From second differences, which no drift adds to: white noise of variance s² gives them 6 s², and A 2 s².
    """
    values, together = evidence.values.astype(np.float64), _together(evidence, episodes, 2)
    bend = values[2:] - 2.0 * values[1:-1] + values[:-2]
    found = _mean_of_each(bend**2 / 3.0, together, evidence, len(episodes))
    return np.maximum(found - thresholds.ROUNDING**2, 0.0)


def _together(evidence: Evidence, episodes: np.ndarray, steps: int) -> Bool[np.ndarray, " pairs"]:
    """For each frame that has one so many steps later: are both judged, and of one of these episodes?"""
    episode, chosen = evidence.rollouts.episode, evidence.of(episodes)
    return (episode[steps:] == episode[:-steps]) & chosen[steps:] & chosen[:-steps]


def _mean_of_each(figure: np.ndarray, chosen: np.ndarray, evidence: Evidence, num_episodes: int) -> np.ndarray:
    episode = evidence.rollouts.episode[: len(figure)][chosen]
    counts = np.bincount(episode, minlength=num_episodes)
    total = np.bincount(episode, weights=figure[chosen], minlength=num_episodes)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
