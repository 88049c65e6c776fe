"""Why every frame of an episode gets its label."""

import dataclasses

import numpy as np

from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.horizons import Horizons
from pistar_vf.relabel.judgement import Judgement
from pistar_vf.relabel.label import Labels, before_takeover
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.report.episodes import WORDS, FrameLabels
from pistar_vf.typing import Float, Int

REASONS = (
    "the advantage is not above the threshold",
    "the advantage is above the threshold",
    "it is too uncertain on which side of the threshold it lies (--abstain)",
    "the operator is about to take over (--takeover_frames)",
    "the operator drives: what a person does counts as good",
    "the operator drives, but the arm stands still",
    "the whole episode is a demonstration, which keeps its labels",
)
BELOW, ABOVE, DOUBT, TAKEOVER, OPERATOR, STILL, DEMONSTRATION = range(len(REASONS))


@dataclasses.dataclass(frozen=True)
class Explained:
    """Of all frames of a dataset, what `FrameLabels` says of an episode's.

    Attributes:
        reason: position in `REASONS`.
        word: position in `report.episodes.WORDS`.
        then: the frame at which the advantage looks up V, counted over the dataset, the end of its stretch at the most;
            None for GAE, which looks at all of them.
        value_then: V there.
    """

    reason: Int[np.ndarray, " t"]
    word: Int[np.ndarray, " t"]
    then: Int[np.ndarray, " t"] | None
    value_then: Float[np.ndarray, " t"] | None


def explain(found: Judgement) -> Explained:
    """Of all frames."""
    numbers = {word: number for number, word in enumerate(WORDS)}
    word = np.array([numbers.get(word, 0) for word in found.words.after])  # demonstrations may have words of their own
    threshold = found.labels.thresholds[found.cut.task]
    reason = decided_by(found.labels, threshold, found.rollouts, found.rule)
    return Explained(reason, word, *looked_up(found.values.value, found.rollouts, found.rule))


def decided_by(
    labels: Labels, threshold: Float[np.ndarray, " t"], rollouts: Rollouts, rule: LabelRule
) -> Int[np.ndarray, " t"]:
    """What decided each label, a position in `REASONS`: in the order of `label.label_frames`, the last one wins.

    Args:
        labels: of all frames.
        threshold: of each frame.
        rollouts: the frames.
        rule: how the labels were made.
    """
    reason = np.where(labels.advantage > threshold, ABOVE, BELOW)
    if rule.abstain and labels.chance is not None:
        reason[np.abs(labels.chance - 0.5) < rule.abstain] = DOUBT
    reason[before_takeover(rollouts, rule.takeover_frames)] = TAKEOVER
    reason[rollouts.intervention] = OPERATOR
    reason[rollouts.intervention & rollouts.still] = STILL
    reason[rollouts.demonstration] = DEMONSTRATION
    return reason


def looked_up(
    values: Float[np.ndarray, " t"], rollouts: Rollouts, rule: LabelRule
) -> tuple[Int[np.ndarray, " t"], Float[np.ndarray, " t"]] | tuple[None, None]:
    """The frame at which each advantage looks up V, and V there; None for GAE, see `Explained`.

    Args:
        values: V of every frame.
        rollouts: the frames.
        rule: the estimator and its N.
    """
    if rule.estimator == "gae":
        return None, None
    horizons = Horizons.of(rollouts)
    num_steps = int(rollouts.lengths.max()) if rule.estimator == "monte_carlo" else rule.num_steps
    end = horizons.layout.spread(horizons.layout.ends)
    then = np.minimum(np.arange(len(values)) + num_steps, end)
    past = horizons.layout.spread(horizons.terminal_values(values, rollouts))
    return then, np.where(then < end, values[np.minimum(then, len(values) - 1)], past)


def labels_of(found: Judgement, explained: Explained, position: int) -> FrameLabels:
    """Those of one episode, by its position in the dataset."""
    layout = found.rollouts.layout
    own = slice(layout.starts[position], layout.ends[position])
    threshold = found.labels.thresholds[found.cut.task[own]]
    then = None if explained.then is None else explained.then[own] - own.start
    return FrameLabels(
        word=explained.word[own],
        reason=explained.reason[own],
        reasons=REASONS,
        advantage=found.labels.advantage[own],
        threshold=threshold if np.isfinite(threshold).any() else None,
        then=then,
        value_then=None if explained.value_then is None else explained.value_then[own],
    )
