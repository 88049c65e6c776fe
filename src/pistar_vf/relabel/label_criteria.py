"""What labels must be to teach a policy anything; judged as `Evidence` says."""

import numpy as np

from pistar_vf.relabel import thresholds
from pistar_vf.relabel.evidence import Evidence, Group, SecondLook
from pistar_vf.relabel.judging import MORE_EPISODES, at_most_zero, by_group
from pistar_vf.relabel.label import NONE, POSITIVE, Labels, before_takeover
from pistar_vf.relabel.verdict import Criterion, Finding, Verdict, worst
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
        asked.append(_repeat(evidence, evidence.second))
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
    usable = np.isfinite(clock) & (evidence.labels.code != NONE)
    of_clock = _positive_with(np.where(np.isfinite(clock), clock, evidence.values), evidence)

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


def _repeat(evidence: Evidence, second: SecondLook) -> Criterion:
    known = np.isfinite(second.value) & (evidence.labels.code != NONE)
    again = _positive_with(np.where(known, second.value, evidence.values), evidence)

    def find(group: Group) -> Finding | None:
        kinds = [known & evidence.of(group.episodes & kind) for kind in (evidence.success, evidence.failure)]
        if not kinds[0].any():
            return Finding(group.name, "no success was looked at again", Verdict.NOT_SHOWN) if group.alone else None
        found = [_agreement(evidence, again, frames) for frames in kinds if frames.any()]
        counted = [verdict for frames, (_, verdict) in zip(kinds, found) if not _says_little(group, frames, verdict)]
        if not counted:
            return None
        figure = " and ".join(f"{above_chance:.2f}" for above_chance, _ in found)
        words = f"{figure} above chance with the labels of {second.by} (successes, failures)"
        return Finding(group.name, words, worst(counted))

    def _says_little(group: Group, frames: np.ndarray, verdict: Verdict) -> bool:
        """A few failures of one task: among all of them they count."""
        episodes = len(np.unique(evidence.rollouts.episode[frames]))
        return bool(group.name) and verdict is Verdict.NOT_SHOWN and episodes < thresholds.MIN_SUCCESSES

    return Criterion(
        "labels repeat",
        by_group(evidence, find),
        f">= {thresholds.MIN_REPEAT_KAPPA}",
        "another model, or another view of the same frames, gives other labels",
        MORE_EPISODES,
    )


def _agreement(evidence: Evidence, again: np.ndarray, frames: np.ndarray) -> tuple[float, Verdict]:
    """Cohen's kappa of two labellings of some frames, every episode weighing alike, and whether it is high enough.

    Where hardly a frame is positive in either there is nothing to repeat.
    """
    positive = evidence.labels.code == POSITIVE
    one, other = (evidence.means(own.astype(np.float64), frames).mean() for own in (positive, again))
    by_chance = one * (1.0 - other) + other * (1.0 - one)
    differ = evidence.means((positive != again).astype(np.float64), frames)
    above_chance = 1.0 - differ.mean() / by_chance if by_chance else 1.0
    if max(one, other) < thresholds.POSITIVE_RANGE[0]:
        return above_chance, Verdict.PASSED
    return above_chance, at_most_zero(differ - (1.0 - thresholds.MIN_REPEAT_KAPPA) * by_chance)


def _positive_with(values: Float[np.ndarray, " t"], evidence: Evidence) -> Bool[np.ndarray, " t"]:
    """Which frames would be positive with other values."""
    return evidence.labeller.label(values.astype(evidence.values.dtype)).code == POSITIVE
