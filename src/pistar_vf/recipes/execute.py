"""From a plan to its last checkpoint: what the value run and the alignment run have in common."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from pistar_vf import messages
from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.drawing.run_curves import draw_own_curves
from pistar_vf.errors import ConfigError
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import num_parameters
from pistar_vf.recipes.build import InitialParams, create_or_restore
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.start import random_towers, warn_of_random_towers
from pistar_vf.training.copies import BestWriter, Copies
from pistar_vf.training.engine import train
from pistar_vf.training.optimizer import create_optimizer, create_schedule, num_warmup_steps
from pistar_vf.training.plan import Intervals, Plan
from pistar_vf.training.records import Recorder
from pistar_vf.training.state import TrainState
from pistar_vf.typing import Params

_log = logging.getLogger(__name__)


def common_fields(config: TrainConfig | AlignmentConfig) -> dict[str, Any]:
    """The fields of a plan that settings of one name decide in both runs."""
    return {
        "tx": create_optimizer(config.optimizer, config.num_train_steps),
        "schedule": create_schedule(config.optimizer, config.num_train_steps),
        "seed": config.seed,
        "ema_decay": config.ema_decay,
        "intervals": Intervals(
            config.num_train_steps,
            config.log_interval,
            config.val_interval,
            config.save_interval,
            num_warmup_steps(config.optimizer, config.num_train_steps),
        ),
        "batch_size": config.batch_size,
    }


def execute(
    config: TrainConfig | AlignmentConfig,
    plan: Plan,
    value_function: ValueFunction,
    mesh: Mesh,
    manager: CheckpointManager,
    best_writer: BestWriter,
    *,
    initial: InitialParams,
    begin: Callable[[dict[str, Any], TrainState, Params], None],
    facts: Callable[[], dict[str, Any]],
    recorded: dict[str, Any],
) -> Path:
    """Creates or restores the state, trains, and returns the last checkpoint's directory.

    Args:
        config: the settings.
        plan: what to do.
        value_function: the model.
        mesh: the devices.
        manager: of the checkpoints.
        best_writer: takes the best state.
        initial: parameters that do not start at random.
        begin: told the restored position ({} for a fresh start), the state and the frozen parameters before the first
            step; the last one to refuse.
        facts: what checkpoints say about where the run stands.
        recorded: facts for the record, beside the settings.

    Raises:
        ConfigError: there is nothing left to do, or the run is not the one that the checkpoint is of.
        CheckpointError: the checkpoint to go on from is missing or does not fit.
    """
    state, frozen, position = create_or_restore(config, value_function, plan.tx, manager, mesh, initial)
    first_step, num_train_steps = int(state.step), plan.intervals.num_train_steps
    if first_step >= num_train_steps:
        raise ConfigError(
            f"--num_train_steps {num_train_steps}: the checkpoint is at step {first_step} already; "
            "pass a larger number to go on"
        )
    begin(position, state, frozen)  # only now: a run that cannot begin leaves nothing behind
    num_trainable = num_parameters(state.trainable)
    _log.info(messages.MODEL_READY.format(parameters=num_parameters(frozen) + num_trainable, trainable=num_trainable))
    towers = random_towers(config)
    copies = Copies(
        manager,
        frozen,
        best_writer,
        facts,
        _best_loss(position, best_writer),
        after_save=lambda: warn_of_random_towers(towers),
    )
    recorder = Recorder(config.run.checkpoint_dir, config.wandb, {**config.as_text(), **recorded})
    try:
        train(plan, state, frozen, mesh, copies, recorder)
    finally:
        recorder.close()
        copies.close()
    if jax.process_index() == 0:
        draw_own_curves(config.run.checkpoint_dir)
    path = manager.path(num_train_steps)
    _log.info(messages.FINISHED.format(path=path))
    return path


def _best_loss(position: dict[str, Any], best_writer: BestWriter) -> float:
    """What the next best state must be below.

    A best state of a later step is of the history that this run, resumed from an earlier step, replaces; the one before
    it made way for it, so nothing is left to be better than.
    """
    if position and best_writer.forget_later(position["step"]):
        _log.warning(
            "the best state was of a later step than %d, from which this run goes on: removed", position["step"]
        )
        return math.inf
    return position.get("best_loss", math.inf)
