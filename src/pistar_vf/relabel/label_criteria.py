"""What labels must be to teach a policy anything; judged as `Evidence` says."""

import dataclasses

import numpy as np

from pistar_vf.relabel import thresholds
from pistar_vf.relabel.evidence import Evidence, Group
from pistar_vf.relabel.judging import MORE_EPISODES, at_most_zero, by_group
from pistar_vf.relabel.label import POSITIVE, Labels, before_takeover, compute_advantages, find_thresholds, label_frames
from pistar_vf.relabel.verdict import Criterion, Finding, Verdict
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool, Float


def judge_labels(evidence: Evidence) -> tuple[Criterion, ...]:
    """Every question about the labels that the data has an answer to."""
    asked = [_share_in_range(evidence), _follow_the_values(evidence)]
    if evidence.rollouts.outcome_is(Outcome.FAILURE)[evidence.acted].any():
        asked.append(_tails_of_failures(evidence))
    if before_takeovers(evidence).any():
        asked.append(_before_takeovers(evidence))
    if evidence.second is not None:
        asked.append(_repeat(evidence))
    return tuple(asked)


def before_takeovers(evidence: Evidence) -> Bool[np.ndarray, " t"]:
    """The last frames of the policy before an operator took over."""
    return before_takeover(evidence.rollouts, _tail(evidence))


def positive_share(labels: Labels, where: Bool[np.ndarray, " t"]) -> float:
    """Share of some frames that is positive; 0 without any."""
    return float((labels.code[where] == POSITIVE).mean()) if where.any() else 0.0


def kappa(one: Bool[np.ndarray, " t"], other: Bool[np.ndarray, " t"]) -> float:
    """Cohen's: agreement above that of chance with the same shares; NaN where chance agrees on everything."""
    chance = one.mean() * other.mean() + (~one).mean() * (~other).mean()
    return float(((one == other).mean() - chance) / (1.0 - chance)) if chance < 1.0 else float("nan")


def _tail(evidence: Evidence) -> int:
    return min(evidence.rule.num_steps, thresholds.TAIL_FRAMES)


def _share_in_range(evidence: Evidence) -> Criterion:
    share = positive_share(evidence.labels, evidence.rollouts.counted)
    low, high = thresholds.POSITIVE_RANGE
    verdict = Verdict.PASSED if low <= share <= high else Verdict.FAILED
    return Criterion(
        "positives and negatives",
        (Finding("", f"{share:.1%} of the policy's frames positive", verdict),),
        f"{low:.0%} … {high:.0%}",
        "nearly all of the policy's frames get the same label: it has nothing to tell apart",
        "",
    )


def _tails_of_failures(evidence: Evidence) -> Criterion:
    rollouts, num_frames = evidence.rollouts, _tail(evidence)
    return _rarely_positive(
        evidence,
        "tails of failures",
        (rollouts.layout.steps_left() < num_frames) & evidence.failure[rollouts.episode],
        f"of the last {num_frames} frames of failures",
        "the frames that lead into a failure are labelled as good",
    )


def _before_takeovers(evidence: Evidence) -> Criterion:
    return _rarely_positive(
        evidence,
        "frames before takeovers",
        before_takeovers(evidence),
        f"of the {_tail(evidence)} frames before a takeover",
        "the mistakes that made an operator take over are labelled as good",
    )


def _rarely_positive(evidence: Evidence, name: str, frames: np.ndarray, which: str, meaning: str) -> Criterion:
    bound = thresholds.MAX_TAIL_SHARE * positive_share(evidence.labels, evidence.rollouts.counted)
    positive = (evidence.labels.code == POSITIVE).astype(np.float64)

    def find(group: Group) -> Finding | None:
        chosen = frames & evidence.of(group.episodes)
        if not chosen.any():
            return None if group.name else Finding("", "none in judged episodes", Verdict.NOT_SHOWN)
        share = evidence.means(positive, chosen)
        verdict = at_most_zero(share - bound)
        if group.name and verdict is Verdict.NOT_SHOWN and len(share) < thresholds.MIN_SUCCESSES:
            return None  # a task with one takeover: among all of them it counts, by itself it says nothing
        return Finding(group.name, f"{share.mean():.1%} {which} positive", verdict)

    return Criterion(name, by_group(evidence, find), f"<= {bound:.1%} (half the overall share)", meaning, MORE_EPISODES)


def _follow_the_values(evidence: Evidence) -> Criterion:
    """A clock's labels are those that rewards, outcomes and thresholds give without anybody looking at a picture."""
    clock = evidence.clock.guess
    usable = np.isfinite(clock)
    of_clock = _labels_of(np.where(usable, clock, evidence.values).astype(evidence.values.dtype), evidence)

    def find(group: Group) -> Finding | None:
        frames = evidence.of(group.episodes & evidence.success) & usable
        if not frames.any() or not group.alone:
            return Finding(group.name, "needs successes", Verdict.NOT_SHOWN) if group.alone else None
        agreement = kappa(evidence.labels.code[frames] == POSITIVE, of_clock[frames])
        good = agreement <= thresholds.MAX_CLOCK_KAPPA
        figure = f"agreement with the labels of a clock {agreement:.2f} above chance"
        return Finding(group.name, figure, Verdict.PASSED if good else Verdict.NOT_SHOWN)

    return Criterion(
        "labels follow V",
        by_group(evidence, find),
        f"<= {thresholds.MAX_CLOCK_KAPPA}",
        "",
        "look less far ahead (--lookahead): with this horizon labels are the same whatever V says",
    )


def _repeat(evidence: Evidence) -> Criterion:
    assert evidence.second is not None, "asked for only where there are second values"
    known = np.isfinite(evidence.second)
    again = _labels_of(np.where(known, evidence.second, evidence.values), evidence)

    def find(group: Group) -> Finding | None:
        frames = evidence.of(group.episodes & evidence.success) & known
        failures = evidence.of(group.episodes & evidence.failure) & known
        if not frames.any():
            return Finding(group.name, "no second model for any success", Verdict.NOT_SHOWN) if group.alone else None
        inside = [
            kappa(evidence.labels.code[rows] == POSITIVE, again[rows]) for rows in (frames, failures) if rows.any()
        ]
        lowest = np.nanmin(inside) if np.isfinite(inside).any() else 0.0
        verdict = Verdict.PASSED if lowest >= thresholds.MIN_REPEAT_KAPPA else Verdict.FAILED
        figure = " and ".join(f"{agreement:.2f}" for agreement in inside)
        return Finding(group.name, f"agreement of two models above chance {figure} (successes, failures)", verdict)

    return Criterion(
        "labels repeat",
        by_group(evidence, find),
        f">= {thresholds.MIN_REPEAT_KAPPA}",
        "another model, or another view of the same frame, gives other labels",
        "",
    )


def _labels_of(values: Float[np.ndarray, " t"], evidence: Evidence) -> Bool[np.ndarray, " t"]:
    """Which frames would be positive with other values."""
    advantage = compute_advantages(values, evidence.rollouts, evidence.rule)
    cuts = find_thresholds(advantage, evidence.rollouts, evidence.rule)
    plain = dataclasses.replace(evidence.rule, abstain=0.0)
    return label_frames(advantage, cuts, evidence.rollouts, plain).code == POSITIVE
