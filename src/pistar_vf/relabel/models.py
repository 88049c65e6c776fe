"""Which checkpoint scores which episode; out-of-fold, no episode is scored by a model that was trained on it."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pistar_vf.checkpoints.folds import fold_checkpoints
from pistar_vf.checkpoints.layout import find_checkpoint
from pistar_vf.checkpoints.provenance import seen_episodes
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.inference.predictor import ValuePredictor
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.typing import Bool
from pistar_vf.upstream.load import load_any_value_model
from pistar_vf.upstream.spec import UpstreamInputs, is_upstream

_MEANING = ("camera_keys", "image_fit", "normaliser", "prompt_suffix")
_BLOCK = 1 << 22


@dataclasses.dataclass(frozen=True)
class ScoringModel:
    """A restored model and its share of the work.

    Attributes:
        checkpoint: where it is from.
        digest: sha256 over the names and contents of the checkpoint's files.
        predictor: the model.
        episodes: indices of the episodes that it scores.
        trained_on: indices of the episodes of this dataset that it was trained on; empty for another dataset's, all
            of them where the checkpoint does not say.
    """

    checkpoint: Path
    digest: str
    predictor: ValuePredictor
    episodes: frozenset[int]
    trained_on: frozenset[int]

    @property
    def says_inputs(self) -> bool:
        """Whether the checkpoint says what it reads; those of upstream do not."""
        return not is_upstream(self.checkpoint)


def load_scoring_models(
    checkpoints: Sequence[Path],
    dataset: LeRobotDataset,
    *,
    use_ema: bool = True,
    upstream: UpstreamInputs | None = None,
    ensemble: bool = False,
) -> tuple[ScoringModel, ...]:
    """One model for all episodes, or several that share them out-of-fold.

    Args:
        checkpoints: one, one per fold, or the folder of all folds.
        dataset: what is to be labelled.
        use_ema: score with the moving average of the weights.
        upstream: the inputs of checkpoints of upstream; None refuses them.
        ensemble: episodes may have been seen by all of several models; see `ensemble_rounds`.

    Raises:
        CheckpointError: a checkpoint is missing, or the folds do not mean the same.
        ConfigError: with several checkpoints, an episode that all of them were trained on, or one of upstream.
    """
    paths = [found for path in checkpoints for found in fold_checkpoints(path) or (find_checkpoint(Path(path)),)]
    predictors = [load_any_value_model(path, use_ema=use_ema, upstream=upstream) for path in paths]
    _check_folds(paths, predictors)
    for path, predictor in zip(paths[1:], predictors[1:]):
        _check_same_meaning(paths[0], predictors[0], path, predictor)
    seen = [seen_episodes(predictor.spec.trained_on, dataset) for predictor in predictors]
    shares = [frozenset(e.index for e in dataset.episodes)] * len(paths)
    if len(paths) > 1 and not ensemble:
        shares = _shares(paths, seen, dataset)
    return tuple(
        ScoringModel(path, checkpoint_digest(path), predictor, share, trained)
        for path, predictor, share, trained in zip(paths, predictors, shares, seen)
    )


def ensemble_rounds(models: Sequence[ScoringModel], dataset: LeRobotDataset) -> tuple[tuple[ScoringModel, ...], ...]:
    """Who scores what when every episode is scored by all models that have not seen it.

    In each round every episode is scored once; an episode with fewer such models than another has some of them twice.
    An episode that all models have seen is scored by all of them: it cannot be judged, which the gate says.

    Args:
        models: from `load_scoring_models`.
        dataset: what is to be labelled.
    """
    members = {}
    for episode in dataset.episodes:
        unseen = [number for number, model in enumerate(models) if episode.index not in model.trained_on]
        members[episode.index] = unseen or list(range(len(models)))
    rounds = []
    for turn in range(max(map(len, members.values()))):
        owner = {index: own[turn % len(own)] for index, own in members.items()}
        shares = [frozenset(i for i, who in owner.items() if who == number) for number in range(len(models))]
        rounds.append(tuple(dataclasses.replace(model, episodes=share) for model, share in zip(models, shares)))
    return tuple(rounds)


def scored_anew(rounds: Sequence[Sequence[ScoringModel]], dataset: LeRobotDataset) -> Bool[np.ndarray, " t"]:
    """Frames that the second round scores with another model than the first; none where there is one round.

    Args:
        rounds: from `ensemble_rounds`.
        dataset: what is to be labelled.
    """
    first, *others = ({index: model.digest for model in own for index in model.episodes} for own in rounds[:2])
    second = others[0] if others else first
    return dataset.layout.spread(np.array([first[e.index] != second[e.index] for e in dataset.episodes]))


def checkpoint_digest(checkpoint: Path) -> str:
    """sha256 over the relative names and the contents of all files of a checkpoint."""
    digest = hashlib.sha256()
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        digest.update(path.relative_to(checkpoint).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _shares(paths: list[Path], seen: list[frozenset[int]], dataset: LeRobotDataset) -> list[frozenset[int]]:
    """Each episode goes to the first model that was not trained on it."""
    for path, trained in zip(paths, seen):
        if not trained:
            raise ConfigError(
                f"{path}: expected a checkpoint trained on episodes of {dataset.root}, to know which it has not seen; "
                "its value_spec.json holds none of them. Pass one --checkpoint_dir to score all episodes with it, "
                "or --ensemble mean to score them with all models"
            )
    owner = {
        episode.index: next((i for i, trained in enumerate(seen) if episode.index not in trained), None)
        for episode in dataset.episodes
    }
    orphans = [index for index, who in owner.items() if who is None]
    if orphans:
        raise ConfigError(
            f"{dataset.root}: expected a checkpoint that has not seen it for every episode, got none for episodes "
            f"{orphans[:10]} ({len(orphans)} in all); train one with --val_episodes that holds them out"
        )
    return [frozenset(index for index, who in owner.items() if who == i) for i in range(len(paths))]


def _check_folds(paths: list[Path], predictors: list[ValuePredictor]) -> None:
    silent = [path for path, predictor in zip(paths, predictors) if predictor.spec.trained_on is None]
    if silent and len(paths) > 1:
        raise ConfigError(
            f"{silent[0]}: expected checkpoints that say which episodes they were trained on, to score each episode "
            "with one that has not seen it, got one of upstream, without a value_spec.json; pass it alone"
        )


def _check_same_meaning(first: Path, one: ValuePredictor, second: Path, other: ValuePredictor) -> None:
    different = [name for name in _MEANING if getattr(one.spec, name) != getattr(other.spec, name)]
    if one.spec.model.support != other.spec.model.support:
        different.append("model.support")
    if different:
        raise CheckpointError(
            f"{second}: expected the same {', '.join(different)} as {first}: values of models that mean different "
            "things cannot be compared; train all folds with the same settings"
        )
