"""Folds: several value models of one dataset, so that every episode is scored by one that has not seen it."""

import gc
import logging
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.checkpoints.folds import FOLDS_FILE, FoldPlan, fold_dir
from pistar_vf.checkpoints.layout import complete_steps
from pistar_vf.errors import ConfigError
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.run import run_training

_log = logging.getLogger(__name__)
_HOLDS_OUT = ("train_episodes", "val_episodes", "val_data_dir", "train_ratio", "val_ratio", "test_ratio")


def run_folds(config: TrainConfig) -> Path:
    """Trains the folds that are not finished, one after the other; one that was stopped goes on.

    Every fold is a run of its own in `checkpoint_dir/fold_<k>`; all of them share the caches of decoded frames.

    Args:
        config: with `folds`; with `fold`, that one is trained alone (on several machines or devices, each one its own).

    Returns:
        `checkpoint_dir`, which relabelling and evaluation take as one model.

    Raises:
        ConfigError: flags contradict the folds, or the folder's earlier runs.
        PistarError: see `run_training`.
    """
    plan = prepare_folds(config)
    unfinished = open_folds(config, plan)
    if done := [fold for fold in chosen_folds(config) if fold not in unfinished]:
        _log.info("folds %s of %d: finished already", ", ".join(map(str, done)), plan.num_folds)
    for fold in unfinished:
        run_dir = fold_dir(config.run.checkpoint_dir, fold)
        resume = "latest" if complete_steps(run_dir) else None
        _log.info("fold %d of %d: %s", fold, plan.num_folds, "going on" if resume else "starting")
        run_training(config.replace(fold=fold, checkpoint_dir=run_dir, resume_from_checkpoint=resume))
        gc.collect()  # the last fold's parameters must not be in the next one's way
    return config.run.checkpoint_dir


def prepare_folds(config: TrainConfig) -> FoldPlan:
    """Checks the flags and the folder, and writes down how the folds are drawn.

    Raises:
        ConfigError: flags contradict the folds, or the folder's earlier runs.
    """
    for flag in _HOLDS_OUT:
        if getattr(config, flag) is not None:
            raise ConfigError(
                f"--{flag}: expected no --folds with it, which hold out every episode once; leave one out"
            )
    if config.resume_from_checkpoint is not None:
        raise ConfigError("--resume_from_checkpoint: expected no --folds with it; folds go on by themselves")
    if config.folds < 2:
        raise ConfigError(f"--folds {config.folds}: expected at least 2")
    folder = config.run.checkpoint_dir
    plan = FoldPlan(config.data.data_dirs, config.folds, config.split_seed, config.num_train_steps)
    earlier = FoldPlan.read(folder)
    if earlier is not None and earlier != plan and _is_begun(folder, earlier):
        raise ConfigError(
            f"{folder / FOLDS_FILE}: expected the folds that are there ({_words(earlier)}), got {_words(plan)}; pass "
            "the same, or another --checkpoint_dir"
        )
    if earlier is None and complete_steps(folder):
        raise ConfigError(f"{folder}: expected a folder for folds, it holds checkpoints; pass another --checkpoint_dir")
    plan.write(folder)  # by every process, as asking for its number would open the devices; all write the same
    return plan


def chosen_folds(config: TrainConfig) -> Sequence[int]:
    """The folds to train, in order.

    Raises:
        ConfigError: there is no such fold.
    """
    if config.fold is None:
        return range(config.folds)
    if not 0 <= config.fold < config.folds:
        raise ConfigError(f"--fold {config.fold}: expected 0 to {config.folds - 1}, as --folds {config.folds} says")
    return (config.fold,)


def open_folds(config: TrainConfig, plan: FoldPlan) -> list[int]:
    """The chosen folds that are not finished."""
    folder = config.run.checkpoint_dir
    return [fold for fold in chosen_folds(config) if not plan.is_finished(fold_dir(folder, fold))]


def _is_begun(folder: Path, plan: FoldPlan) -> bool:
    """Whether some fold of the plan has a checkpoint; before that, nothing is lost by another plan."""
    return any(complete_steps(fold_dir(folder, fold)) for fold in range(plan.num_folds))


def _words(plan: FoldPlan) -> str:
    return (
        f"--folds {plan.num_folds} --split_seed {plan.seed} --num_train_steps {plan.num_train_steps} "
        f"--data_dir {' '.join(plan.data_dirs)}"
    )
