"""What made the labels, to be stored with them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

import pistar_vf
from pistar_vf.relabel.config import LabelRule, RelabelConfig
from pistar_vf.relabel.label import Labels
from pistar_vf.relabel.models import ScoringModel
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.relabel.verdict import Gate, Verdict


def describe_labels(
    config: RelabelConfig,
    rule: LabelRule,
    models: Sequence[ScoringModel],
    rollouts: Rollouts,
    labels: Labels,
    gate: Gate,
) -> dict[str, Any]:
    """What made the labels; the same input gives the same, so it holds no time."""
    return {
        "pistar_vf": pistar_vf.__version__,
        "checkpoints": [_identity(model) for model in models],
        "use_ema": config.use_ema,
        "compat": config.compat,
        "rule": dataclasses.asdict(rule),
        "thresholds": {task: float(t) for task, t in zip(rollouts.tasks, labels.thresholds) if np.isfinite(t)},
        "gate": _verdict_facts(gate),
    }


def rounded(disagreement: np.ndarray) -> float:
    """Mean over frames; the same on every machine."""
    return round(float(disagreement.mean()), 4)


def _identity(model: ScoringModel) -> dict[str, Any]:
    """A checkpoint, and what is not in it of all that decides its values."""
    identity: dict[str, Any] = {"name": str(model.checkpoint.name), "sha256": model.digest}
    if not model.says_inputs:
        spec = model.predictor.spec
        identity |= {"tokenizer_sha256": spec.tokenizer_sha256, "camera_keys": spec.camera_keys}
    return identity


def _verdict_facts(gate: Gate) -> str:
    """The verdict for the labels' provenance: whoever finds them must know what they were written against."""
    of_how_many = f"judged on {gate.num_judged} unseen of {gate.num_episodes} episodes"
    if gate.verdict is Verdict.PASSED:
        return f"passed, {of_how_many}"
    names = ", ".join(gate.named(gate.verdict))
    how = "failed and forced" if gate.verdict is Verdict.FAILED else "not shown and accepted"
    return f"{how}: {names}; {of_how_many}"
