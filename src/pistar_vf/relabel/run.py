"""A relabelling from settings to written labels."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.changes.lock import dataset_lock
from pistar_vf.changes.recovery import recover
from pistar_vf.changes.transaction import refuse_in_cache
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.metadata import find_dataset
from pistar_vf.relabel.chance import chance_above
from pistar_vf.relabel.config import LabelRule, RelabelConfig
from pistar_vf.relabel.evidence import Scorers
from pistar_vf.relabel.gate import check_gate, examine
from pistar_vf.relabel.horizons import Horizons, choose_lookahead
from pistar_vf.relabel.inputs import (
    chosen_checkpoints,
    output_folder,
    read_inputs,
    refuse_random_towers,
    scored_cameras,
    upstream_inputs,
)
from pistar_vf.relabel.label import (
    KEPT,
    Labels,
    compute_advantages,
    find_thresholds,
    label_as_upstream,
    label_frames,
    plain_advantages,
    warn_where_successes_are_rare,
)
from pistar_vf.relabel.models import ScoringModel, ensemble_rounds, load_scoring_models, scored_anew
from pistar_vf.relabel.open_rewards import fill_rewards
from pistar_vf.relabel.provenance import describe_labels, rounded
from pistar_vf.relabel.read import by_source
from pistar_vf.relabel.report import as_text, write_report
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.relabel.sidecar import doubts, write_sidecar
from pistar_vf.relabel.trajectories import Trajectory, score_trajectories
from pistar_vf.relabel.uncertainty import disagreement_in_words
from pistar_vf.relabel.value_folder import dataset_folder, values_digest
from pistar_vf.relabel.values import ValueTable, compute_values
from pistar_vf.relabel.verdict import Gate
from pistar_vf.relabel.write import NewWords, write_in_place, write_new_dataset

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Relabelling:
    """What came of it.

    Attributes:
        labels: of all frames.
        gate: the verdict.
        report: the HTML file.
        written: where the labels are, None where nothing was written.
        num_changed: frames whose word changed.
        trajectories: the measures of every episode, in the order of the dataset.
    """

    labels: Labels
    gate: Gate
    report: Path
    written: Path | None
    num_changed: int
    trajectories: list[Trajectory]


def run_relabel(config: RelabelConfig, *, progress: bool = True) -> Relabelling:
    """Computes values, judges them, and writes labels.

    Raises:
        GateError: the gate failed and `force` is not set; nothing was written.
        GateNotShownError: there is too little evidence and `accept_not_shown` is not set; nothing was written.
        PistarError: anything a user can put right; nothing was written.
    """
    rule = config.rule  # a setting that cannot work is refused before anything is opened
    if config.in_place:
        root = find_dataset(config.data_dir)
        refuse_in_cache(root)
        recover(root)  # a writer that was killed must not be in the way
    dataset = load_lerobot(config.data_dir, prompt_column=config.instruction_col, read_ahead=())
    output_dir = output_folder(config, dataset)
    models = load_scoring_models(
        chosen_checkpoints(config),
        dataset,
        use_ema=config.use_ema,
        upstream=upstream_inputs(config),
        ensemble=config.ensemble is not None,
    )
    refuse_random_towers(config, models)
    rounds = (models,) if config.ensemble is None else ensemble_rounds(models, dataset)
    models = rounds[0]
    camera_keys = scored_cameras(config, dataset, models[0])
    rollouts = read_inputs(config, dataset, models[0])
    rule = dataclasses.replace(rule, lookahead=choose_lookahead(config, rollouts, dataset.fps), lookahead_seconds=None)
    values = _values(config, dataset, rounds, camera_keys, progress)
    if config.compat == "upstream":
        labels = label_as_upstream(values.value, rollouts, rule.num_steps, rule.top_percent)
    else:
        rollouts = fill_rewards(rollouts, dataset, models[0].predictor.spec.normaliser, values.value)
        labels = _label(values, rollouts, rule, config, dataset, models[0])
    gate = examine(values.value, rollouts, labels, rule, _scorers(dataset, rounds, values), values.second)
    scorers = tuple({model.digest: model for own in rounds for model in own}.values())
    cut = by_source(rollouts, dataset) if rule.threshold_per == "source" else rollouts
    facts = describe_labels(config, rule, scorers, cut, labels, gate)
    if values.disagreement is not None:
        differ = rounded(values.disagreement)
        facts["ensemble"] = {"rule": config.ensemble, "models": len(rounds), "disagreement": differ}
    report_dir = config.report_dir or Path("reports") / dataset.name
    trajectories = score_trajectories(values.value, rollouts, labels, [e.index for e in dataset.episodes])
    report = write_report(report_dir, gate, values.value, rollouts, labels, facts, trajectories)
    words = _words(config, dataset, labels)
    print(as_text(gate))
    if values.disagreement is not None:
        print(disagreement_in_words(values.disagreement, len(rounds)))
    print(words.diff())
    print(f"report: {report}")
    written = None
    if not config.dry_run:
        check_gate(gate, config, report)
        support = models[0].predictor.spec.model.support
        written = _write(config, dataset, words, labels, values, support, facts, output_dir, progress)
    return Relabelling(labels, gate, report, written, int((words.before != words.after).sum()), trajectories)


def _values(
    config: RelabelConfig,
    dataset: LeRobotDataset,
    rounds: Sequence[Sequence[ScoringModel]],
    camera_keys: dict[str, str | None],
    progress: bool,
) -> ValueTable:
    """Of all frames; of an ensemble, round by round, each of them kept."""
    folder = dataset_folder(dataset, config.cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with dataset_lock(folder, f"values of {dataset.root}"):
        tables = [
            compute_values(
                dataset,
                models,
                camera_keys,
                folder / values_digest(config, dataset, models, camera_keys),
                batch_size=config.batch_size,
                cache_dir=config.cache_dir,
                num_workers=config.num_workers,
                progress=progress,
            )
            for models in rounds
        ]
    if config.ensemble is None:
        return tables[0]
    return ValueTable.combine(tables, config.ensemble, scored_anew(rounds, dataset))


def _label(
    values: ValueTable,
    rollouts: Rollouts,
    rule: LabelRule,
    config: RelabelConfig,
    dataset: LeRobotDataset,
    model: ScoringModel,
) -> Labels:
    advantage = compute_advantages(values.value, rollouts, rule)
    if rule.threshold_per == "source":
        rollouts = by_source(rollouts, dataset)
    thresholds = find_thresholds(advantage, rollouts, rule)
    warn_where_successes_are_rare(rollouts, rule)
    chance = None
    if rule.abstain or (config.output == "sidecar" and rule.estimator != "gae"):
        horizons = Horizons.of(rollouts)
        beyond = plain_advantages(values.value, rollouts, rule, horizons) - advantage
        chance = chance_above(
            values.probs,
            model.predictor.spec.model.support,
            rollouts.reward,
            horizons.lengths,
            horizons.terminal_values(values.value, rollouts),
            int(rollouts.lengths.max()) if rule.estimator == "monte_carlo" else rule.num_steps,
            thresholds[rollouts.task] + beyond,
        )
    return label_frames(advantage, thresholds, rollouts, rule, chance)


def _scorers(dataset: LeRobotDataset, rounds: Sequence[Sequence[ScoringModel]], values: ValueTable) -> Scorers:
    """Who scored what; of an ensemble, an episode that one of its models was trained on is seen."""
    owner = {index: number for number, model in enumerate(rounds[0]) for index in model.episodes}
    seen = {index for models in rounds for model in models for index in model.episodes & model.trained_on}
    return Scorers(
        model=np.array([owner[episode.index] for episode in dataset.episodes]),
        seen=np.array([episode.index in seen for episode in dataset.episodes]),
        probes=values.probes,
    )


def _words(config: RelabelConfig, dataset: LeRobotDataset, labels: Labels) -> NewWords:
    """The new column; upstream leaves demonstrations alone, "none" included."""
    words = NewWords.of(dataset, labels, config.adv_col)
    if config.compat == "none":
        return words
    return dataclasses.replace(words, after=np.where(labels.code == KEPT, words.before, words.after))


def _write(
    config: RelabelConfig,
    dataset: LeRobotDataset,
    words: NewWords,
    labels: Labels,
    values: ValueTable,
    support: Support,
    facts: dict[str, Any],
    output_dir: Path | None,
    progress: bool,
) -> Path:
    if config.output == "sidecar":
        folder = output_dir or dataset.root
        columns = doubts(values, labels, support)
        files = write_sidecar(dataset, words, labels, values.value, facts, output_dir, config.sidecar_tag, columns)
        print(f"labels: {', '.join(str(folder / file) for file in files)}")
        return folder
    if output_dir is not None:
        write_new_dataset(dataset, words, facts, output_dir, progress=progress)
        print(f"relabelled dataset: {output_dir}")
        return output_dir
    num_files = write_in_place(dataset, words, facts, progress=progress)
    if num_files:
        print(
            f"relabelled in place: {dataset.root} ({num_files} files); take it back with: "
            f"pistar-vf undo --data_dir {dataset.root}"
        )
    else:
        print(f"nothing to do: {dataset.root} holds these labels already")
    return dataset.root
