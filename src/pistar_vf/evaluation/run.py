"""An evaluation from settings to figures."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.changes.staging import check_file
from pistar_vf.checkpoints.folds import fold_checkpoints
from pistar_vf.checkpoints.provenance import recorded_parts
from pistar_vf.errors import ConfigError
from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.episode_scores import EpisodeScores
from pistar_vf.evaluation.fitted_on import FittedOn, own_training_set
from pistar_vf.evaluation.frames import EvaluatedFrames, score_clock, score_constant, score_model, score_trees
from pistar_vf.evaluation.parts import Part, choose_part
from pistar_vf.evaluation.report import MODEL, Evaluation
from pistar_vf.evaluation.source import Source, evaluation_targets, open_source
from pistar_vf.labels.split import episode_strata, select_episodes
from pistar_vf.progress import progress_bar

_log = logging.getLogger(__name__)

_STATE_KEY = "observation.state"


def run_eval(config: EvalConfig, *, progress: bool = True) -> Evaluation:
    """Scores the model and the baselines, prints the tables and writes the JSON file.

    A folder of folds is scored out of fold: every episode by the fold that was not trained on it, baselines fitted on
    what that fold was trained on.

    Raises:
        PistarError: anything a user can put right; nothing was written.
    """
    if config.frame_skip < 1:
        raise ConfigError(f"--frame_skip: expected 1 (every frame) or more, got {config.frame_skip}")
    if config.output is not None:
        check_file(config.output, "--output")
    folds = fold_checkpoints(config.checkpoint)
    evaluation = _out_of_fold(config, folds, progress) if folds else _evaluate(config, open_source(config), progress)
    for table in evaluation.tables():
        Console().print(table)
    if config.output is not None:
        _write(config.output, evaluation)
    return evaluation


def _out_of_fold(config: EvalConfig, folds: Sequence[Path], progress: bool) -> Evaluation:
    if config.part.split != "test" or config.part.ratios is not None:
        raise ConfigError(
            f"{config.checkpoint}: expected no --split and no ratios with folds, which score every episode out of "
            "fold; leave them out, or name one fold"
        )
    taken: set[int] = set()
    parts = []
    for number, checkpoint in enumerate(folds):
        _log.info("fold %d of %d", number, len(folds))
        source = open_source(config.replace(checkpoint=checkpoint))
        train = recorded_parts(source.predictor.spec.trained_on, source.dataset).get("train", ())
        own = tuple(e for e in source.dataset.episodes if e.index not in {*train, *taken})
        taken |= {episode.index for episode in own}
        known = select_episodes(source.dataset.episodes, train, "the fold's training episodes")
        if own:
            part = Part("out of fold", own, known, frozenset(train))
            parts.append(_evaluate(config, source, progress, part))
    return Evaluation.join(parts, checkpoint=str(config.checkpoint), num_folds=len(folds))


def _evaluate(config: EvalConfig, source: Source, progress: bool, chosen: Part | None = None) -> Evaluation:
    """One model on one part of the episodes: that of the flags, or the chosen one."""
    spec, dataset = source.predictor.spec, source.dataset
    targets = evaluation_targets(config, dataset, spec)
    chosen = chosen or choose_part(config, spec, dataset, targets)
    part = chosen.without(targets.open_ended)
    strata = episode_strata(dataset, targets.labels, targets.outcomes)
    frames = EvaluatedFrames(
        dataset=dataset,
        episodes=part.episodes,
        labels=targets.labels,
        strata=dict(zip((episode.index for episode in dataset.episodes), strata)),
        support=spec.model.support,
        frame_skip=config.frame_skip,
    )
    with progress_bar(
        total=len(frames.rows(part.episodes)), desc="scoring", unit=" frames", disable=not progress
    ) as bar:
        streaming = {"batch_size": config.batch_size, "cache_dir": config.cache_dir, "num_workers": config.num_workers}
        own, blanked = score_model(source, frames, config.blank_cameras, **streaming, advance=bar.update)
    baselines, missing, fitted_on = _baselines(config, source, frames, part)
    fragments = sum(episode.index in targets.fragments for episode in chosen.episodes)
    facts = _facts(config, source, part, len(chosen.episodes) - len(part.episodes) - fragments, fragments)
    facts |= _baseline_facts(fitted_on)
    return Evaluation(facts, _about(part, frames), {MODEL: own, **baselines}, missing, blanked)


def _baselines(
    config: EvalConfig, source: Source, frames: EvaluatedFrames, part: Part
) -> tuple[dict[str, EpisodeScores], dict[str, str], FittedOn | None]:
    """Scores of those that can be fitted, why the others cannot, and what they were fitted on."""
    spec = source.predictor.spec
    state_key = spec.state.key if spec.state is not None else _STATE_KEY
    try:
        own = FittedOn(source.dataset, part.train, frames.labels, frames.strata)
        fitted_on = own if part.train else own_training_set(config, spec)
    except ConfigError as error:
        return {}, dict.fromkeys(("constant", "clock", "trees"), str(error)), None
    kinds: dict[str, Callable[[], EpisodeScores]] = {
        "constant": lambda: score_constant(frames, fitted_on),
        "clock": lambda: score_clock(frames, fitted_on),
        "trees": lambda: score_trees(frames, fitted_on, state_key),
    }
    found, missing = {}, {}
    for name, score in kinds.items():
        try:
            found[name] = score()
        except ConfigError as error:
            missing[name] = str(error)
    return found, missing, fitted_on


def _baseline_facts(fitted_on: FittedOn | None) -> dict[str, Any]:
    if fitted_on is None:
        return {"num_baseline_episodes": 0, "baseline_dataset": None}
    return {"num_baseline_episodes": len(fitted_on.episodes), "baseline_dataset": fitted_on.dataset.name}


def _facts(config: EvalConfig, source: Source, part: Part, num_timeouts: int, num_fragments: int) -> dict[str, Any]:
    return {
        "checkpoint": str(source.checkpoint),
        "dataset": source.dataset.name,
        "split": part.name,
        "frame_skip": config.frame_skip,
        "num_timeouts_left_out": num_timeouts,
        "num_fragments_left_out": num_fragments,
        "num_trained_on": sum(episode.index in part.seen for episode in part.episodes),
    }


def _about(part: Part, frames: EvaluatedFrames) -> list[dict[str, Any]]:
    about = [(episode, *frames.strata[episode.index]) for episode in part.episodes]
    return [
        {"episode_index": e.index, "outcome": outcome, "task": task, "trained_on": e.index in part.seen}
        for e, outcome, task in about
    ]


def _write(path: Path, evaluation: Evaluation) -> None:
    write_whole(path, evaluation.to_json())
    print(f"result: {path}")
