"""Is this value function fit to label data? Measured before anything is written.

A percentage of positives says nothing: noise has one, too. Each criterion looks for one way in which published value
functions were wrong; docs/relabel.md explains them. `criteria` and `noise_criteria` ask about V, `label_criteria`
about labels; `evidence` says by which frames, `thresholds` what is wanted, `judging` when it is met, and `verdict` what
follows.
"""

import logging
from pathlib import Path

import numpy as np

from pistar_vf.errors import GateError, GateNotShownError
from pistar_vf.metrics import auc
from pistar_vf.relabel import thresholds
from pistar_vf.relabel.clock import Clock
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.criteria import judge_values
from pistar_vf.relabel.evidence import Evidence, Scorers, SecondLook
from pistar_vf.relabel.horizons import Horizons
from pistar_vf.relabel.label import KEPT, NEGATIVE, NONE, POSITIVE, Labels
from pistar_vf.relabel.label_criteria import judge_labels, positive_share
from pistar_vf.relabel.labeller import Labeller
from pistar_vf.relabel.noise_criteria import judge_noise
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.relabel.verdict import Gate, Share, Verdict
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool, Float

_log = logging.getLogger(__name__)

_MOMENTS = (0.25, 0.5, 0.75, 1.0)
_SOURCES = {
    Outcome.SUCCESS: "autonomous, success",
    Outcome.FAILURE: "autonomous, failure",
    Outcome.TIMEOUT: "autonomous, time-out",
    Outcome.FRAGMENT: "autonomous, fragment",
    None: "autonomous, outcome unknown",
}


def examine(
    values: Float[np.ndarray, " t"],
    labels: Labels,
    labeller: Labeller,
    scorers: Scorers,
    second: SecondLook | None = None,
) -> Gate:
    """Asks every question.

    Args:
        values: V of every frame.
        labels: what would be written.
        labeller: how they were made.
        scorers: which model scored which episode, and what it had seen.
        second: V of another model or view, where there is one.
    """
    rollouts = labeller.rollouts
    evidence = Evidence(values, labels, labeller, scorers, Clock.of(rollouts), second)
    return Gate(
        criteria=(*judge_values(evidence), *judge_noise(evidence), *judge_labels(evidence)),
        num_judged=int(evidence.judged.sum()),
        num_episodes=evidence.num_episodes,
        shares=_shares(rollouts, labels),
        auc=tuple((part, _auc_at(evidence, part)) for part in _MOMENTS),
        notes=(*_true_end(evidence), *_by_length(evidence)),
    )


def check_gate(gate: Gate, config: RelabelConfig, report: Path) -> None:
    """Stops before anything is written, unless a flag takes the blame; `force` takes it for everything.

    Raises:
        GateError: the gate failed.
        GateNotShownError: there is too little evidence.
    """
    names = ", ".join(gate.named(gate.verdict))
    if gate.verdict is Verdict.FAILED and not config.force:
        raise GateError(
            f"the gate failed ({names}): expected a value function fit to label data, see {report}. "
            "Nothing was written. Train longer or on more data; or pass --force, which is recorded with the labels"
        )
    if gate.verdict is Verdict.NOT_SHOWN and not (config.accept_not_shown or config.force):
        raise GateNotShownError(
            f"the evidence is too little for a verdict ({names}): expected unseen episodes enough to judge by, see "
            f"{report}, which says for each what would show it. Nothing was written. Or pass --accept_not_shown, which "
            "is recorded with the labels"
        )
    if gate.verdict is Verdict.FAILED:
        _log.warning("the gate failed (%s); writing all the same, as --force says", names)
    elif gate.verdict is Verdict.NOT_SHOWN:
        _log.warning("it is not shown that the values are fit (%s); writing all the same, as you said", names)


def _auc_at(evidence: Evidence, part: float) -> float:
    """AUC of success against failure by V at one moment of the judged episodes."""
    moment = evidence.rollouts.layout.moment(part)
    chosen = evidence.judged
    return auc(evidence.values[moment][chosen].astype(np.float64), evidence.success[chosen])


def _true_end(evidence: Evidence) -> tuple[str, ...]:
    """How much of the labels is the outcome rather than V."""
    rollouts = evidence.rollouts
    left, horizons = rollouts.layout.steps_left() + 1, Horizons.of(rollouts)
    taken_over = horizons.layout.spread(horizons.taken_over)
    horizon = evidence.rule.num_steps if evidence.rule.estimator == "n_step" else int(rollouts.lengths.max())
    sees = ((left <= horizon) & ~taken_over)[rollouts.counted].mean() if rollouts.counted.any() else 0.0
    note = f"{sees:.0%} of the policy's frames see the true end of their episode"
    if sees > thresholds.WARN_TRUE_END:
        note += ": their labels are the outcome more than V; look less far ahead (--lookahead)"
    return (note,)


def _by_length(evidence: Evidence) -> tuple[str, ...]:
    """Positives among the shortest, middle and longest successes of the policy."""
    rollouts = evidence.rollouts
    won = np.flatnonzero(rollouts.outcome_is(Outcome.SUCCESS) & evidence.acted)
    if len(won) < 3:
        return ()
    thirds = np.array_split(won[np.argsort(rollouts.lengths[won], kind="stable")], 3)
    shares = [
        positive_share(evidence.labels, np.isin(rollouts.episode, third) & rollouts.autonomous) for third in thirds
    ]
    return (
        "positive in the shortest, middle and longest third of the successes: " + ", ".join(f"{s:.0%}" for s in shares),
    )


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
