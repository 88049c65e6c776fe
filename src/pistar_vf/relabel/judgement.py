"""What a relabelling finds out before it writes: values, labels, and whether they can be trusted."""

import dataclasses
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
from pistar_vf.relabel.gate import examine
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
    label_frames,
    plain_advantages,
    warn_where_successes_are_rare,
)
from pistar_vf.relabel.labeller import Labeller
from pistar_vf.relabel.models import ScoringModel, ensemble_rounds, load_scoring_models, scored_anew
from pistar_vf.relabel.open_rewards import fill_rewards
from pistar_vf.relabel.provenance import describe_labels, rounded
from pistar_vf.relabel.read import by_source
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.relabel.second_look import look_again, sample_episodes
from pistar_vf.relabel.trajectories import Trajectory, score_trajectories
from pistar_vf.relabel.value_folder import dataset_folder, values_digest
from pistar_vf.relabel.values import ValueTable, compute_values
from pistar_vf.relabel.verdict import Gate
from pistar_vf.relabel.write import NewWords
from pistar_vf.typing import Bool, Int


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Everything that is known before anything is written.

    Attributes:
        dataset: what is to be labelled.
        output_dir: where a new dataset or sidecar would go; None in place.
        models: who scored, by the numbers of `scorers`; of an ensemble, those of its first round.
        rule: how the labels were made, with the N that was used.
        rollouts: the frames.
        cut: the same with what thresholds are cut by in the place of tasks.
        scorers: who scored what.
        values: V of every frame.
        labels: of every frame.
        words: the column as it is and as it would be.
        gate: the verdict.
        facts: what made the labels.
        trajectories: the measures of every episode, in the order of the dataset.
    """

    dataset: LeRobotDataset
    output_dir: Path | None
    models: tuple[ScoringModel, ...]
    rule: LabelRule
    rollouts: Rollouts
    cut: Rollouts
    scorers: Scorers
    values: ValueTable
    labels: Labels
    words: NewWords
    gate: Gate
    facts: dict[str, Any]
    trajectories: list[Trajectory]


def judge(config: RelabelConfig, *, progress: bool = True) -> Judgement:
    """Computes values (or takes those that are kept), makes labels, and asks the gate.

    Raises:
        PistarError: anything a user can put right.
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
    seen = _seen(dataset, rounds)
    values = _values(config, dataset, rounds, camera_keys, sample_episodes(rollouts, seen), progress)
    if config.compat == "upstream":
        labeller = Labeller(rollouts, rule, as_upstream=True)
        labels = labeller.label(values.value)
    else:
        rollouts = fill_rewards(rollouts, dataset, models[0].predictor.spec.normaliser, values.value)
        labeller = Labeller(rollouts, rule, by_source(rollouts, dataset) if rule.threshold_per == "source" else None)
        labels = _label(labeller, values, config, models[0].predictor.spec.model.support)
    scorers = _scorers(dataset, rounds[0], seen, values)
    gate = examine(values.value, labels, labeller, scorers, values.second)
    distinct = tuple({model.digest: model for own in rounds for model in own}.values())
    facts = describe_labels(config, rule, distinct, labeller.cut_by, labels, gate)
    if values.disagreement is not None:
        differ = rounded(values.disagreement)
        facts["ensemble"] = {"rule": config.ensemble, "models": len(rounds), "disagreement": differ}
    return Judgement(
        dataset=dataset,
        output_dir=output_dir,
        models=models,
        rule=rule,
        rollouts=rollouts,
        cut=labeller.cut_by,
        scorers=scorers,
        values=values,
        labels=labels,
        words=_words(config, dataset, labels),
        gate=gate,
        facts=facts,
        trajectories=score_trajectories(values.value, rollouts, labels, [e.index for e in dataset.episodes]),
    )


def _values(
    config: RelabelConfig,
    dataset: LeRobotDataset,
    rounds: Sequence[Sequence[ScoringModel]],
    camera_keys: dict[str, str | None],
    again: Int[np.ndarray, " k"],
    progress: bool,
) -> ValueTable:
    """Of all frames, and of the episodes at some positions once more; of an ensemble, round by round; all are kept."""
    folder = dataset_folder(dataset, config.cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    homes = [folder / values_digest(config, dataset, models, camera_keys) for models in rounds]
    opened: dict[str, Any] = {name: getattr(config, name) for name in ("batch_size", "cache_dir", "num_workers")}
    with dataset_lock(folder, f"values of {dataset.root}"):
        tables = [
            compute_values(dataset, models, camera_keys, home, progress=progress, **opened)
            for models, home in zip(rounds, homes)
        ]
        found = tables[0]
        if config.ensemble is not None:
            found = ValueTable.combine(tables, config.ensemble, scored_anew(rounds, dataset))
        if len(rounds) > 1 or not len(again):
            return found
        episodes = [dataset.episodes[position] for position in again]
        second = look_again(dataset, rounds[0], camera_keys, homes[0] / "view", episodes, **opened)
        return dataclasses.replace(found, second=second)


def _label(labeller: Labeller, values: ValueTable, config: RelabelConfig, support: Support) -> Labels:
    """With an abstain band, and chances where they are asked for."""
    rollouts, rule = labeller.rollouts, labeller.rule
    advantage, thresholds = labeller.cuts(values.value)
    warn_where_successes_are_rare(labeller.cut_by, rule)
    chance = None
    if rule.abstain or (config.output == "sidecar" and rule.estimator != "gae"):
        horizons = Horizons.of(rollouts)
        beyond = plain_advantages(values.value, rollouts, rule, horizons) - advantage
        chance = chance_above(
            values.probs,
            support,
            rollouts.reward,
            horizons.lengths,
            horizons.terminal_values(values.value, rollouts),
            int(rollouts.lengths.max()) if rule.estimator == "monte_carlo" else rule.num_steps,
            thresholds[labeller.cut_by.task] + beyond,
        )
    return label_frames(advantage, thresholds, labeller.cut_by, rule, chance)


def _seen(dataset: LeRobotDataset, rounds: Sequence[Sequence[ScoringModel]]) -> Bool[np.ndarray, " e"]:
    """Episodes that one of the models which score them was trained on."""
    seen = {index for models in rounds for model in models for index in model.episodes & model.trained_on}
    return np.array([episode.index in seen for episode in dataset.episodes])


def _scorers(
    dataset: LeRobotDataset, models: Sequence[ScoringModel], seen: Bool[np.ndarray, " e"], values: ValueTable
) -> Scorers:
    owner = {index: number for number, model in enumerate(models) for index in model.episodes}
    return Scorers(np.array([owner[episode.index] for episode in dataset.episodes]), seen, values.probes)


def _words(config: RelabelConfig, dataset: LeRobotDataset, labels: Labels) -> NewWords:
    """The new column; upstream leaves demonstrations alone, "none" included."""
    words = NewWords.of(dataset, labels, config.adv_col)
    if config.compat == "none":
        return words
    return dataclasses.replace(words, after=np.where(labels.code == KEPT, words.before, words.after))
