"""How good the values are on episodes that their model has not seen, in the measures of `pistar-vf eval`."""

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.evaluation.fitted_on import FittedOn
from pistar_vf.evaluation.frame_scores import score_probs
from pistar_vf.evaluation.frames import EvaluatedFrames, score_clock, score_constant
from pistar_vf.evaluation.report import MODEL, Evaluation
from pistar_vf.lerobot.dataset import Episode
from pistar_vf.relabel.judgement import Judgement
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool

_SMALLEST = 1e-7
"""The distributions are kept in float16, which rounds less than this to 0."""


def measure(found: Judgement) -> Evaluation | None:
    """Scores of the values that are there already; nothing is computed anew but two baselines.

    Episodes that are known to have succeeded or failed, each with the baselines of the model that scored it; None
    where there are none.
    """
    rollouts, scorers = found.rollouts, found.scorers
    known = rollouts.outcome_is(Outcome.SUCCESS) | rollouts.outcome_is(Outcome.FAILURE)
    known &= rollouts.layout.all(np.isfinite(rollouts.target))
    parts = []
    for number in np.unique(scorers.model):
        own = known & ~scorers.seen & (scorers.model == number)
        trained_on = np.array([e.index in found.models[number].trained_on for e in found.dataset.episodes])
        if own.any():
            parts.append(_of_model(found, own, known & trained_on))
    return Evaluation.join(parts) if parts else None


def support_of(found: Judgement) -> Support:
    """The atoms of the values."""
    return found.models[0].predictor.spec.model.support


def _of_model(found: Judgement, own: Bool[np.ndarray, " e"], train: Bool[np.ndarray, " e"]) -> Evaluation:
    rollouts, support = found.rollouts, support_of(found)
    tasks = [rollouts.tasks[rollouts.task[start]] for start in rollouts.layout.starts]
    ends = zip(map(str, rollouts.outcomes), tasks)
    strata = dict(zip((episode.index for episode in found.dataset.episodes), ends))
    frames = EvaluatedFrames(
        dataset=found.dataset,
        episodes=_chosen(found, own),
        labels=rollouts.target,
        strata=strata,
        support=support,
    )
    scores, missing = {MODEL: frames.score(frames.episodes, _of_frames(found, frames))}, {}
    fitted_on = FittedOn(found.dataset, _chosen(found, train), frames.labels, strata)
    for name, score in (("constant", score_constant), ("clock", score_clock)):
        if fitted_on.episodes:
            scores[name] = score(frames, fitted_on)
        else:
            missing[name] = "nobody knows which episodes of this dataset are for training"
    about = [
        {"episode_index": e.index, "outcome": strata[e.index][0], "task": strata[e.index][1], "trained_on": False}
        for e in frames.episodes
    ]
    counts = dict.fromkeys(("num_timeouts_left_out", "num_fragments_left_out", "num_trained_on"), 0)
    facts = {"dataset": found.dataset.name, "split": "unseen", **counts}
    return Evaluation(facts, about, scores, missing)


def _chosen(found: Judgement, which: Bool[np.ndarray, " e"]) -> tuple[Episode, ...]:
    return tuple(found.dataset.episodes[position] for position in np.flatnonzero(which))


def _of_frames(found: Judgement, frames: EvaluatedFrames) -> dict[str, np.ndarray]:
    """Measures of the frames, a group of episodes in memory at a time."""
    parts = []
    for episodes in frames.groups():
        rows = frames.rows(episodes)
        probs = np.maximum(np.asarray(found.values.probs[rows], np.float32), _SMALLEST)
        scores = score_probs(probs / probs.sum(axis=1, keepdims=True), frames.labels[rows], frames.support)
        parts.append({**scores, "value": found.values.value[rows]})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
