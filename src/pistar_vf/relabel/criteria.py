"""What a value function must be, for its labels to be worth anything; judged as `Evidence` says."""

import math

import numpy as np

from pistar_vf.intervals import auc_p_value
from pistar_vf.metrics import auc_within, same_time_concordance
from pistar_vf.relabel import thresholds
from pistar_vf.relabel.evidence import Evidence, Group
from pistar_vf.relabel.judging import MORE_EPISODES, at_least, at_most_share, at_most_zero, by_group, significant
from pistar_vf.relabel.permutation import NUM_DRAWS, same_time_p_value, same_time_slope
from pistar_vf.relabel.verdict import Criterion, Finding, Verdict
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool, Float


def judge_values(evidence: Evidence) -> tuple[Criterion, ...]:
    """Every question about V but those about noise."""
    return (
        _unseen(evidence),
        _varies(evidence),
        _sees(evidence),
        _beats_the_clock(evidence),
        _rises(evidence),
        _knows_progress(evidence),
        _separates(evidence),
        _ends_high(evidence),
    )


def _unseen(evidence: Evidence) -> Criterion:
    judged, all_of_them = int(evidence.judged.sum()), evidence.num_episodes
    verdict = Verdict.PASSED if judged else Verdict.NOT_SHOWN
    return Criterion(
        "unseen episodes",
        (Finding("", f"{judged} of {all_of_them} episodes of the policy", verdict),),
        "at least one with a known outcome that the scoring model was not trained on",
        "",
        "score each episode with a model that has not seen it: pass the models of several folds, or other episodes",
    )


def _varies(evidence: Evidence) -> Criterion:
    """Over all of the policy's frames, seen or not: what is constant is so anywhere.

    But a task or a fold of failures alone has a constant target, too.
    """
    findings = []
    hopeless = evidence.rollouts.outcome_is(Outcome.FAILURE)[evidence.rollouts.episode]
    for name, inside in evidence.parts():
        chosen = inside & evidence.rollouts.counted
        values = evidence.values[chosen]
        if len(values) and not (name and hopeless[chosen].all()):
            good = values.std() >= thresholds.MIN_STD
            findings.append(Finding(name, f"std {values.std():.4f}", Verdict.PASSED if good else Verdict.FAILED))
    return Criterion(
        "V varies",
        tuple(findings),
        f">= {thresholds.MIN_STD}",
        "V is (almost) the same in all frames and ranks nothing",
        MORE_EPISODES,
    )


def _sees(evidence: Evidence) -> Criterion:
    findings = []
    for number, probe in evidence.scorers.probes.items():
        effect = probe.mean_change / probe.value_std if probe.value_std > 0 else 0.0
        verdict = Verdict.PASSED if effect >= thresholds.MIN_IMAGE_EFFECT else Verdict.FAILED
        figure = f"other images change V by {effect:.2f} of its std ({probe.num_frames} frames)"
        findings.append(Finding(f"fold {number}" if len(evidence.scorers.probes) > 1 else "", figure, verdict))
    return Criterion(
        "V reads the images",
        tuple(findings),
        f">= {thresholds.MIN_IMAGE_EFFECT}",
        "V hardly changes when a frame gets another frame's images",
        "",
    )


def _beats_the_clock(evidence: Evidence) -> Criterion:
    own = (evidence.values - evidence.rollouts.target).astype(np.float64) ** 2
    clock = evidence.clock.squared_error

    def find(group: Group) -> Finding | None:
        frames = evidence.of(group.episodes) & np.isfinite(clock)
        if not frames.any():
            return None
        own_mean, clock_mean = evidence.means(own, frames), evidence.means(clock, frames)
        ratio = math.sqrt(own_mean.mean() / clock_mean.mean()) if clock_mean.any() else math.inf
        figure = f"RMS error {math.sqrt(own_mean.mean()):.3f}, {ratio:.2f} of the clock's"
        verdict = at_most_zero(own_mean - thresholds.MAX_CLOCK_RATIO**2 * clock_mean)
        if group.alone and verdict is Verdict.PASSED:
            p_value = _same_time_p_value(evidence, frames)
            figure, verdict = f"{figure}, p = {p_value:.3f}", significant(p_value)
        return Finding(group.name, figure, verdict)

    return Criterion(
        "V beats the clock",
        by_group(evidence, find),
        f"<= {thresholds.MAX_CLOCK_RATIO}, p <= {thresholds.SIGNIFICANCE}",
        "the frame index alone predicts the return as well: V has learnt how much time has passed",
        MORE_EPISODES,
    )


def _rises(evidence: Evidence) -> Criterion:
    correlation = _correlations(evidence, evidence.of(evidence.success))

    def find(group: Group) -> Finding | None:
        found = correlation[group.episodes & np.isfinite(correlation)]
        if not len(found):
            return Finding(group.name, "needs successes", Verdict.NOT_SHOWN) if group.alone else None
        figure = f"correlation with the target {found.mean():.2f}, mean over successes"
        return Finding(group.name, figure, at_most_zero(thresholds.MIN_CORRELATION - found))

    return Criterion(
        "V rises in successes",
        by_group(evidence, find),
        f">= {thresholds.MIN_CORRELATION}",
        "V does not go up while a task is being done; that it does proves little, as a clock does, too",
        "record more successes",
    )


def _knows_progress(evidence: Evidence) -> Criterion:
    """Inside successes, where the outcome is no help."""

    def find(group: Group) -> Finding | None:
        frames = evidence.of(group.episodes & evidence.success)
        if not group.alone:
            return None
        concordance = same_time_concordance(*_at(evidence, frames))
        if math.isnan(concordance):
            return Finding(group.name, "no two successes that differ at the same time", Verdict.NOT_SHOWN)
        p_value, slope = _same_time_p_value(evidence, frames), _same_time_slope(evidence, frames)
        enough = concordance >= thresholds.MIN_CONCORDANCE and slope >= thresholds.MIN_SLOPE
        verdict = significant(p_value) if enough else Verdict.NOT_SHOWN
        if concordance <= 0.5 and (group.episodes & evidence.success).sum() >= 2 * thresholds.MIN_SUCCESSES:
            verdict = Verdict.FAILED
        figure = f"{concordance:.3f} of pairs in the right order, {slope:.2f} of the difference, p = {p_value:.3f}"
        return Finding(group.name, figure, verdict)

    return Criterion(
        "V knows progress",
        by_group(evidence, find),
        f">= {thresholds.MIN_CONCORDANCE}, >= {thresholds.MIN_SLOPE}, p <= {thresholds.SIGNIFICANCE}",
        "of two successes at the same frame index V does not say which is further: it knows outcome and time",
        "record more successes, of different speed",
    )


def _separates(evidence: Evidence) -> Criterion:
    late = evidence.means(evidence.values.astype(np.float64), _late(evidence))
    episodes = np.unique(evidence.rollouts.episode[_late(evidence)])

    def find(group: Group) -> Finding | None:
        chosen = group.episodes[episodes]
        numbers = episodes[chosen]
        won = evidence.success[numbers]
        score, task = late[chosen], evidence.task[numbers]
        auc = auc_within(score, won, task)
        if math.isnan(auc):
            return Finding(group.name, "needs successes and failures", Verdict.NOT_SHOWN) if group.alone else None
        p_value = auc_p_value(score, won, task, num_draws=NUM_DRAWS)
        verdict = at_least(auc, thresholds.MIN_AUC, int(min(won.sum(), (~won).sum())))
        if group.alone and verdict is Verdict.PASSED:
            verdict = significant(p_value)
        return Finding(group.name, f"AUC {auc:.3f} (mean V of the last quarter), p = {p_value:.3f}", verdict)

    return Criterion(
        "success above failure",
        by_group(evidence, find),
        f">= {thresholds.MIN_AUC}, p <= {thresholds.SIGNIFICANCE}",
        "V at the end of a failure is as high as at the end of a success",
        MORE_EPISODES,
    )


def _ends_high(evidence: Evidence) -> Criterion:
    """V at the end against the quarter before the last frames, where a fall would begin."""
    length = evidence.rollouts.layout.spread(evidence.rollouts.lengths)
    left = length - evidence.rollouts.frame_index
    last, before = left <= np.clip(length // 10, 1, 3), left > np.maximum(5, length // 10)
    before &= left <= np.maximum(5, length // 10) + np.maximum(1, length // 4)

    def find(group: Group) -> Finding | None:
        frames = evidence.of(group.episodes & evidence.success)
        falls = _falls(evidence, frames & last, frames & before)
        if len(falls) < (2 if group.alone else 1):
            return Finding(group.name, "needs successes", Verdict.NOT_SHOWN) if group.alone else None
        collapsed = int((falls >= thresholds.COLLAPSE).sum())
        verdict = at_most_share(collapsed, len(falls), thresholds.MAX_COLLAPSED)
        return Finding(group.name, f"V falls at the end of {collapsed} of {len(falls)} successes", verdict)

    return Criterion(
        "successes end high",
        by_group(evidence, find),
        f"<= {thresholds.MAX_COLLAPSED:.0%}",
        "V falls where the task is done, so the frames that finish it look bad",
        "record more successes",
    )


def _at(evidence: Evidence, frames: Bool[np.ndarray, " t"]) -> tuple[np.ndarray, ...]:
    """V, target, episode, frame index and task of some frames."""
    rollouts = evidence.rollouts
    figures = (evidence.values, rollouts.target, rollouts.episode, rollouts.frame_index, rollouts.task)
    return tuple(figure[frames] for figure in figures)


def _same_time_p_value(evidence: Evidence, frames: Bool[np.ndarray, " t"]) -> float:
    values, target, episode, frame_index, task = _at(evidence, frames)
    return same_time_p_value(values, target, frame_index, episode, task)


def _same_time_slope(evidence: Evidence, frames: Bool[np.ndarray, " t"]) -> float:
    values, target, episode, frame_index, task = _at(evidence, frames)
    return same_time_slope(values, target, frame_index, episode, task)


def _correlations(evidence: Evidence, frames: Bool[np.ndarray, " t"]) -> Float[np.ndarray, " e"]:
    """Pearson's, of V and target over some frames of each episode; 0 for a constant V, NaN without frames."""
    episode, num_episodes = evidence.rollouts.episode[frames], len(evidence.judged)
    count = np.bincount(episode, minlength=num_episodes)

    def mean(figure: np.ndarray) -> np.ndarray:
        return np.bincount(episode, weights=figure, minlength=num_episodes) / np.maximum(count, 1)

    parts = (figure[frames].astype(np.float64) for figure in (evidence.values, evidence.rollouts.target))
    value, target = (part - mean(part)[episode] for part in parts)
    spread = np.sqrt(mean(value**2) * mean(target**2))
    found = np.divide(mean(value * target), spread, out=np.zeros(num_episodes), where=spread > 0)
    return np.where(count > 0, found, np.nan)


def _late(evidence: Evidence) -> Bool[np.ndarray, " t"]:
    """The policy's frames in the last quarter of judged episodes."""
    lengths = evidence.rollouts.layout.spread(evidence.rollouts.lengths)
    return evidence.frames & (lengths - evidence.rollouts.frame_index <= np.maximum(1, lengths // 4))


def _falls(evidence: Evidence, last: np.ndarray, before: np.ndarray) -> Float[np.ndarray, " k"]:
    """How far V falls from the mean of one set of frames to that of another, in episodes that have both."""
    values = evidence.values.astype(np.float64)
    episode = evidence.rollouts.episode
    both = np.intersect1d(episode[last], episode[before])
    inside = np.isin(episode, both)
    return evidence.means(values, before & inside) - evidence.means(values, last & inside)
