"""An evaluation from settings to figures."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm_loggable.auto import tqdm

from pistar_vf.errors import ConfigError
from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.episode_scores import MEASURES, EpisodeScores
from pistar_vf.evaluation.frames import EvaluatedFrames, score_clock, score_constant, score_model, score_trees
from pistar_vf.evaluation.parts import Part, choose_part
from pistar_vf.evaluation.source import Source, evaluation_targets, open_source
from pistar_vf.labels.split import episode_strata

MODEL = "model"
_STATE_KEY = "observation.state"
_LABELS = {
    "loss": "loss (nats)",
    "kl": "KL (nats)",
    "top1": "top-1",
    "top5": "top-5",
    "mae": "MAE",
    "mse": "MSE",
    "spearman": "Spearman",
    "auc": "AUC, last quarter",
    "ece": "calibration error",
    "coverage_50": "50 % coverage",
    "coverage_90": "90 % coverage",
}
_SHARES = ("top1", "top5", "coverage_50", "coverage_90")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Figures of a value model and of baselines.

    Attributes:
        facts: what was evaluated on what.
        episodes: index, outcome and task of the episodes scored.
        scores: of the model and of each baseline, episode by episode.
        missing: baselines that could not be fitted, and why.
    """

    facts: dict[str, Any]
    episodes: list[dict[str, Any]]
    scores: dict[str, EpisodeScores]
    missing: dict[str, str]

    def to_json(self) -> str:
        """Everything, indented; figures that are undefined are null."""
        figures = {}
        for name, scores in self.scores.items():
            low, high = scores.intervals()
            rows = zip(MEASURES, scores.figures(), low, high)
            figures[name] = {m: {"value": _number(v), "low": _number(a), "high": _number(b)} for m, v, a, b in rows}
        own = self.scores[MODEL]
        episodes = []
        for position, about in enumerate(self.episodes):
            measured = dict(zip(MEASURES, map(_number, own.take(np.array([position])).figures())))
            del measured["auc"]  # of a single episode there is none
            late = float(own.late_value[position])
            episodes.append({**about, "num_frames": int(own.num_frames[position]), "late_value": late, **measured})
        content = {**self.facts, "baselines_missing": self.missing, "figures": figures, "episodes": episodes}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def table(self) -> Table:
        """For a terminal: the model with its intervals, beside the baselines."""
        facts = self.facts
        title = (
            f"{facts['dataset']}, {facts['split']}: {len(self.episodes)} episodes, "
            f"{int(self.scores[MODEL].num_frames.sum()):,} frames"
        )
        table = Table(title=escape(title), caption=escape(self._caption()), box=box.SIMPLE)
        for heading in ("measure", MODEL, "95 % interval", *list(self.scores)[1:]):
            table.add_column(heading, no_wrap=heading in ("measure", "95 % interval"))
        low, high = self.scores[MODEL].intervals()
        figures = [scores.figures() for scores in self.scores.values()]
        for row, name in enumerate(MEASURES):
            values = [_text(name, own[row]) for own in figures]
            interval = "–" if np.isnan(low[row]) else f"{_text(name, low[row])} … {_text(name, high[row])}"
            table.add_row(_LABELS[name], values[0], interval, *values[1:])
        return table

    def _caption(self) -> str:
        notes = [f"no {name}: {reason}" for name, reason in self.missing.items()]
        if self.facts["num_timeouts_left_out"]:
            notes.append(f"{self.facts['num_timeouts_left_out']} time-outs are left out: nobody knows their value")
        if self.facts["num_trained_on"]:
            notes.append(f"the model was trained on {self.facts['num_trained_on']} of these episodes: it looks better")
        return "\n".join(notes)


def run_eval(config: EvalConfig, *, progress: bool = True) -> Evaluation:
    """Scores the model and the baselines, prints the table and writes the JSON file.

    Raises:
        PistarError: anything a user can put right; nothing was written.
    """
    if config.frame_skip < 1:
        raise ConfigError(f"--frame_skip: expected 1 (every frame) or more, got {config.frame_skip}")
    source = open_source(config)
    spec, dataset = source.predictor.spec, source.dataset
    targets = evaluation_targets(config, dataset, spec)
    timeouts = frozenset(episode.index for episode in targets.timeouts.episodes)
    chosen = choose_part(config, spec, dataset, targets)
    part = chosen.without(timeouts)
    strata = episode_strata(dataset, targets.labels, targets.outcomes)
    frames = EvaluatedFrames(
        dataset=dataset,
        episodes=part.episodes,
        train=part.train,
        labels=targets.labels,
        strata=dict(zip((episode.index for episode in dataset.episodes), strata)),
        support=spec.model.support,
        frame_skip=config.frame_skip,
    )
    with tqdm(total=len(frames.rows(part.episodes)), desc="scoring", unit=" frames", disable=not progress) as bar:
        streaming = {"batch_size": config.batch_size, "cache_dir": config.cache_dir, "num_workers": config.num_workers}
        scores = {MODEL: score_model(source, frames, **streaming, advance=bar.update)}
    baselines, missing = _baselines(frames, spec.state.key if spec.state is not None else _STATE_KEY)
    facts = _facts(config, source, part, len(chosen.episodes) - len(part.episodes))
    evaluation = Evaluation(facts, _about(part, frames), {**scores, **baselines}, missing)
    Console().print(evaluation.table())
    if config.output is not None:
        _write(config.output, evaluation)
    return evaluation


def _baselines(frames: EvaluatedFrames, state_key: str) -> tuple[dict[str, EpisodeScores], dict[str, str]]:
    """Scores of those that can be fitted, and why the others cannot."""
    kinds: dict[str, Callable[[], EpisodeScores]] = {
        "constant": lambda: score_constant(frames),
        "clock": lambda: score_clock(frames),
        "trees": lambda: score_trees(frames, state_key),
    }
    found, missing = {}, {}
    for name, score in kinds.items():
        try:
            if not frames.train:
                raise ConfigError("nobody knows which episodes of this dataset are for training")
            found[name] = score()
        except ConfigError as error:
            missing[name] = str(error)
    return found, missing


def _facts(config: EvalConfig, source: Source, part: Part, num_timeouts: int) -> dict[str, Any]:
    return {
        "checkpoint": str(source.checkpoint),
        "dataset": source.dataset.name,
        "split": part.name,
        "frame_skip": config.frame_skip,
        "num_timeouts_left_out": num_timeouts,
        "num_trained_on": sum(episode.index in part.seen for episode in part.episodes),
        "num_baseline_episodes": len(part.train),
    }


def _about(part: Part, frames: EvaluatedFrames) -> list[dict[str, Any]]:
    about = [(episode, *frames.strata[episode.index]) for episode in part.episodes]
    return [
        {"episode_index": e.index, "outcome": outcome, "task": task, "trained_on": e.index in part.seen}
        for e, outcome, task in about
    ]


def _write(path: Path, evaluation: Evaluation) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(evaluation.to_json(), encoding="utf-8")
    print(f"result: {path}")


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _text(measure: str, value: float) -> str:
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.1%}" if measure in _SHARES else f"{value:.4f}"
