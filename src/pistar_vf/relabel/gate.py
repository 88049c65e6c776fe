"""Is this value function fit to label data? Measured before anything is written.

A percentage of positives says nothing: noise has one, too. Each criterion looks for one way in which published value
functions were wrong; docs/relabel.md explains them.
"""

import dataclasses
import math

import numpy as np

from pistar_vf.intervals import bootstrap_interval
from pistar_vf.metrics import CONSTANT_STD, auc, late_values
from pistar_vf.relabel.clock import clock_squared_errors
from pistar_vf.relabel.label import KEPT, NEGATIVE, NONE, POSITIVE, LabelRule, Labels
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool, Float

MIN_AUC = 0.7
MAX_NOISE = 0.5
MIN_IMAGE_EFFECT = 0.1
MAX_TAIL_SHARE = 0.5
POSITIVE_RANGE = (0.01, 0.9)

_MOMENTS = (0.25, 0.5, 0.75, 1.0)
_SOURCES = {
    Outcome.SUCCESS: "autonomous, success",
    Outcome.FAILURE: "autonomous, failure",
    Outcome.TIMEOUT: "autonomous, time-out",
    None: "autonomous, outcome unknown",
}


@dataclasses.dataclass(frozen=True)
class ImageProbe:
    """What exchanging the images of a sample of frames did to V.

    Attributes:
        mean_change: mean |V with another frame's images - V|.
        value_std: standard deviation of V over the sample.
        num_frames: size of the sample.
    """

    mean_change: float
    value_std: float
    num_frames: int


@dataclasses.dataclass(frozen=True)
class Criterion:
    """One question to the value function.

    Attributes:
        name: short.
        found: the figure, in words.
        wanted: what it must be.
        passed: None where the data cannot tell.
        meaning: what is wrong when it fails.
    """

    name: str
    found: str
    wanted: str
    passed: bool | None
    meaning: str


@dataclasses.dataclass(frozen=True)
class Share:
    """How the frames of one task and source are labelled; counts."""

    task: str
    source: str
    num_frames: int
    positive: int
    negative: int
    none: int


@dataclasses.dataclass(frozen=True)
class Gate:
    """The verdict and what it rests on.

    Attributes:
        criteria: the questions.
        shares: counts per task and source, the autonomous sources first.
        auc: (part of the episode, AUC of success against failure by V at that moment); NaN without both.
    """

    criteria: tuple[Criterion, ...]
    shares: tuple[Share, ...]
    auc: tuple[tuple[float, float], ...]

    @property
    def passed(self) -> bool:
        """No criterion failed; one that could not be measured does not fail."""
        return all(criterion.passed is not False for criterion in self.criteria)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the criteria that failed."""
        return tuple(criterion.name for criterion in self.criteria if criterion.passed is False)


def examine(
    values: Float[np.ndarray, " t"],
    rollouts: Rollouts,
    labels: Labels,
    rule: LabelRule,
    probe: ImageProbe,
    seen: Bool[np.ndarray, " e"],
) -> Gate:
    """Asks every question.

    Args:
        values: V of every frame.
        rollouts: the frames.
        labels: what would be written.
        rule: how they were made.
        probe: from when the values were computed.
        seen: episodes that the model which scored them was trained on.
    """
    moments = tuple((part, _auc_at(values, rollouts, part)) for part in _MOMENTS)
    return Gate(
        criteria=(
            _varies(values),
            _sees(probe),
            _beats_the_clock(values, rollouts, seen),
            _separates(values, rollouts),
            _is_smooth(values, rollouts, rule.lookahead),
            _share_in_range(rollouts, labels),
            _tails_of_failures(rollouts, labels, rule.lookahead),
        ),
        shares=_shares(rollouts, labels),
        auc=moments,
    )


def _varies(values: np.ndarray) -> Criterion:
    std = float(values.std())
    meaning = "V is (almost) the same in all frames and ranks nothing"
    return Criterion("V varies", f"std {std:.4f}", f">= {CONSTANT_STD}", std >= CONSTANT_STD, meaning)


def _sees(probe: ImageProbe) -> Criterion:
    effect = probe.mean_change / probe.value_std if probe.value_std > 0 else 0.0
    return Criterion(
        "V reads the images",
        f"other images change V by {effect:.2f} of its std ({probe.num_frames} frames)",
        f">= {MIN_IMAGE_EFFECT}",
        effect >= MIN_IMAGE_EFFECT,
        "V hardly changes when a frame gets another frame's images",
    )


def _beats_the_clock(values: np.ndarray, rollouts: Rollouts, seen: np.ndarray) -> Criterion:
    clock, own = clock_squared_errors(rollouts, seen), (values - rollouts.target) ** 2
    known = np.isfinite(clock)
    low, high = bootstrap_interval(_episode_means((clock - own)[known], rollouts.episode[known]))
    found = "no task has two episodes with a known outcome"
    if not math.isnan(low):
        rms, clock_rms = np.sqrt(own[known].mean()), np.sqrt(clock[known].mean())
        found = f"RMS error {rms:.3f}, clock {clock_rms:.3f}; gain in MSE {low:+.4f} … {high:+.4f} (95 %, by episode)"
    return Criterion(
        "V beats the clock",
        found,
        "gain above 0",
        None if math.isnan(low) else low > 0,
        "the frame index alone predicts the return as well: V has learnt how much time has passed",
    )


def _episode_means(figures: np.ndarray, episode: np.ndarray) -> np.ndarray:
    counts = np.bincount(episode)
    return np.bincount(episode, weights=figures)[counts > 0] / counts[counts > 0]


def _separates(values: np.ndarray, rollouts: Rollouts) -> Criterion:
    found = _auc_late(values, rollouts)
    return Criterion(
        "success above failure",
        "needs successes and failures" if math.isnan(found) else f"AUC {found:.3f} (mean V of the last quarter)",
        f">= {MIN_AUC}",
        None if math.isnan(found) else found >= MIN_AUC,
        "V at the end of a failure is as high as at the end of a success",
    )


def _is_smooth(values: np.ndarray, rollouts: Rollouts, lookahead: int) -> Criterion:
    steps = max(2, min(lookahead, int(np.median(rollouts.lengths)) // 4))
    near, far = _mean_change(values, rollouts, 1), _mean_change(values, rollouts, steps)
    ratio = near / far if far > 0 else math.inf
    return Criterion(
        "signal above noise",
        f"|ΔV| of neighbours is {ratio:.2f} of |ΔV| over {steps} frames",
        f"<= {MAX_NOISE}",
        ratio <= MAX_NOISE,
        "V jumps from frame to frame: advantages are noise",
    )


def _share_in_range(rollouts: Rollouts, labels: Labels) -> Criterion:
    share = _positive_share(labels, rollouts.autonomous)
    low, high = POSITIVE_RANGE
    return Criterion(
        "positives and negatives",
        f"{share:.1%} of autonomous frames positive",
        f"{low:.0%} … {high:.0%}",
        low <= share <= high,
        "nearly all autonomous frames get the same label: the policy has nothing to tell apart",
    )


def _tails_of_failures(rollouts: Rollouts, labels: Labels, lookahead: int) -> Criterion:
    failed = rollouts.outcome_is(Outcome.FAILURE)[rollouts.episode]
    tail = failed & rollouts.autonomous & (rollouts.layout.steps_left() < lookahead)
    bound = MAX_TAIL_SHARE * _positive_share(labels, rollouts.autonomous)
    share = _positive_share(labels, tail)
    return Criterion(
        "tails of failures",
        f"{share:.1%} of the last {lookahead} frames of failures positive" if tail.any() else "needs failures",
        f"<= {bound:.1%} (half the overall share)",
        share <= bound if tail.any() else None,
        "the frames that lead into a failure are labelled as good",
    )


def _positive_share(labels: Labels, where: Bool[np.ndarray, " t"]) -> float:
    return float((labels.code[where] == POSITIVE).mean()) if where.any() else 0.0


def _mean_change(values: np.ndarray, rollouts: Rollouts, steps: int) -> float:
    """Mean |V_{t+steps} - V_t| inside episodes; 0 where no episode is that long."""
    episode = rollouts.episode
    same = episode[steps:] == episode[:-steps]
    return float(np.abs(values[steps:] - values[:-steps])[same].mean()) if same.any() else 0.0


def _auc_at(values: np.ndarray, rollouts: Rollouts, part: float) -> float:
    """AUC of success against failure by V at one moment of the episode."""
    return _auc(values[rollouts.layout.moment(part)], rollouts)


def _auc_late(values: np.ndarray, rollouts: Rollouts) -> float:
    """The same by the mean V over the last quarter of each episode."""
    return _auc(late_values(values, rollouts.lengths), rollouts)


def _auc(score: np.ndarray, rollouts: Rollouts) -> float:
    success, failure = rollouts.outcome_is(Outcome.SUCCESS), rollouts.outcome_is(Outcome.FAILURE)
    return auc(score[success | failure].astype(np.float64), success[success | failure])


def _shares(rollouts: Rollouts, labels: Labels) -> tuple[Share, ...]:
    rows = []
    for number, task in enumerate(rollouts.tasks):
        for source, inside in _sources(rollouts):
            code = labels.code[inside & (rollouts.task == number)]
            if len(code):
                counts = np.bincount(code, minlength=KEPT + 1)
                rows.append(
                    Share(task, source, len(code), int(counts[POSITIVE]), int(counts[NEGATIVE]), int(counts[NONE]))
                )
    return tuple(rows)


def _sources(rollouts: Rollouts) -> list[tuple[str, Bool[np.ndarray, " t"]]]:
    """Where frames come from; every frame is in exactly one."""
    corrections = rollouts.intervention & ~rollouts.demonstration
    by_outcome = [
        (name, rollouts.autonomous & rollouts.outcome_is(outcome)[rollouts.episode])
        for outcome, name in _SOURCES.items()
    ]
    return [*by_outcome, ("intervention", corrections), ("demonstration", rollouts.demonstration)]
