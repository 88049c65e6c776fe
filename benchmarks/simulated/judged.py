"""What values are worth, whoever gave them: their own quality, their labels', and policies that are told these."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.typing import Float
from simulated import labels
from simulated.benchmark import Episodes
from simulated.closed_loop import Arm
from simulated.judges import error_to_progress
from simulated.measures import LabelJudge, ValueQuality, paired_difference
from simulated.results import signed
from simulated.truth import Truth


def measured(
    truth: Truth, rollouts: Rollouts, value: Float[np.ndarray, " t"], lookahead: int
) -> dict[str, dict[str, Any]]:
    """Of every task: the quality of V, and of its labels."""
    positive = labels.by_values(value, rollouts, LabelRule(lookahead=lookahead))
    return {
        name: {
            **dataclasses.asdict(ValueQuality.measure(value, truth, rollouts, number)),
            "labels": dataclasses.asdict(LabelJudge(truth, number, lookahead).quality(positive)),
        }
        for number, name in enumerate(truth.tasks.tolist())
    }


def judged(
    episodes: Episodes,
    rollouts: Rollouts,
    name: str,
    value: Float[np.ndarray, " t"],
    task_name: str,
    lookaheads: Iterable[int],
) -> dict[str, Any]:
    """Figures by name; prints a line for each labelling.

    Args:
        episodes: with the part "train".
        rollouts: the same as relabelling sees it.
        name: of the judge, for the lines and the stages.
        value: of every frame.
        task_name: whose policies are let loose.
        lookaheads: N, frames, of the labels.
    """
    truth = episodes.truth["train"]
    task = truth.tasks.tolist().index(task_name)
    quality = dataclasses.asdict(ValueQuality.measure(value, truth, rollouts, task))
    found = {**quality, "error_to_progress": error_to_progress(value, truth, task)}
    everything = np.ones(len(value), bool)
    outcome = episodes.won(task_name, "outcome", Arm(everything, truth.success_of_frames))
    filtered = episodes.won(task_name, "successes only", Arm(truth.success_of_frames, None))
    for lookahead in lookaheads:
        positive = labels.by_values(value, rollouts, LabelRule(lookahead=lookahead))
        won = episodes.won(task_name, f"{name}, N = {lookahead}", Arm(everything, positive))
        above = paired_difference(won, outcome)
        found[f"n_{lookahead}"] = {
            **dataclasses.asdict(LabelJudge(truth, task, lookahead).quality(positive)),
            "success": float(won.mean()),
            "minus_outcome": dataclasses.asdict(above),
            "minus_successes_only": dataclasses.asdict(paired_difference(won, filtered)),
        }
        print(f"{name}, N = {lookahead}: {won.mean():.3f}, minus the outcome {signed(above)}", flush=True)
    return found
