"""From settings and data to a model on its devices: configuration, spec, fresh or restored state."""

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from pistar_vf.checkpoints.frozen_part import FrozenPart
from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.messages import LOADING_PRETRAINED, PRETRAINED_LOADED
from pistar_vf.models.value_config import ARCHITECTURES
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import flatten, unflatten
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.preflight import resume_step
from pistar_vf.recipes.prepare import TrainingData
from pistar_vf.recipes.start import random_towers
from pistar_vf.recipes.towers import towers
from pistar_vf.sharding import replicated, state_sharding
from pistar_vf.training.optimizer import is_trainable
from pistar_vf.training.state import TrainState, create_state, held_shapes, split_params
from pistar_vf.typing import Params
from pistar_vf.weights.bundle import pretrained_paths
from pistar_vf.weights.pretrained import ValueModelWeightLoader, init_params
from pistar_vf.weights.projector import load_projector

_log = logging.getLogger(__name__)


InitialParams: TypeAlias = Callable[[Params], Params]
"""Wanted leaves (flat, shapes and placements) -> those of them that do not start at random."""


def model_config(config: TrainConfig, data: TrainingData) -> ValueModelConfig:
    """The architecture that the settings and the data ask for."""
    statistics = data.table.state_statistics
    return ARCHITECTURES[config.architecture](
        **towers(config.model, config.devices, data.tokenizer),
        cameras=tuple(sorted(data.camera_keys)),
        state_dim=statistics.dim if statistics is not None else 0,
        state_encoding=config.state_encoding,
        image_pool=config.model.image_pool,
        max_token_len=data.tokenizer.max_token_len,
        lora=config.model.lora,
    )


def value_spec(config: TrainConfig, data: TrainingData, model: ValueModelConfig) -> ValueSpec:
    """What every checkpoint of this run will say about itself."""
    return ValueSpec(
        model=model,
        camera_keys=data.camera_keys,
        image_fit=config.image_fit,
        state=data.table.state_statistics,
        tokenizer_sha256=data.tokenizer.digest,
        label_column=data.targets.column,
        label_conventions=data.targets.conventions,
        trained_on=data.trained_on,
        prompts=data.prompts,
        normaliser=data.targets.normaliser,
        random_towers=random_towers(config),
    )


def create_or_restore(
    config: TrainConfig | AlignmentConfig,
    value_function: ValueFunction,
    tx: optax.GradientTransformation,
    manager: CheckpointManager,
    mesh: Mesh,
    initial: InitialParams,
) -> tuple[TrainState, Params, dict]:
    """The state to start from; no leaf is ever held twice.

    Returns:
        (state, frozen parameters, position of the restored checkpoint or {}), all placed on the mesh.

    Raises:
        CheckpointError: the checkpoint to resume from is missing or does not fit.
    """
    shapes = _held_shapes(config, value_function)
    if config.resume_from_checkpoint is not None:
        return _restore(config, shapes, tx, manager, mesh)
    wanted = _placed(mesh, shapes)
    given = initial(wanted)
    missing = {path: leaf for path, leaf in wanted.items() if path not in given}
    params = dict(sorted({**given, **init_params(value_function, config.seed, missing)}.items()))
    trainable, frozen = split_params(params, config.freeze_mode)
    placement = state_sharding(mesh, jax.eval_shape(lambda: create_state(trainable, tx)))
    return jax.jit(lambda t: create_state(t, tx), out_shardings=placement)(trainable), frozen, {}


def frozen_part(config: TrainConfig | AlignmentConfig) -> FrozenPart | None:
    """Takes what is frozen out of the checkpoints of a run that wants them slim; None for one that does not."""
    if config.run.checkpoint_params == "full":
        return None
    return FrozenPart(config.run.checkpoint_dir, lambda name: is_trainable(name, config.freeze_mode))


def pretrained_params(config: TrainConfig, value_function: ValueFunction, wanted: Params) -> Params:
    """The leaves that the settings say where to find; a projector wins over the source's own.

    Raises:
        PistarError: a source is missing, damaged, or not that of the model.
    """
    source = config.start.source
    restored: Params = {}
    if source is not None:
        _log.info(LOADING_PRETRAINED)
        loader = ValueModelWeightLoader(
            pretrained_paths(source, config.pretrained_path, config.tokenizer_path),
            value_function.config,
            key=config.pretrained_key,
            allow_uninformative_tower=config.allow_uninformative_tower,
        )
        restored = loader.load(wanted)
        _log.info(PRETRAINED_LOADED)
    if config.projector_path is not None:
        restored = {**restored, **load_projector(config.projector_path, wanted)}
        _log.info("projector: %s", config.projector_path)
    return restored


def _held_shapes(config: TrainConfig | AlignmentConfig, value_function: ValueFunction) -> Params:
    shapes = flatten(value_function.shapes())
    return held_shapes(shapes, config.freeze_mode, jnp.dtype(config.frozen_dtype))


def _restore(
    config: TrainConfig | AlignmentConfig,
    shapes: Params,
    tx: optax.GradientTransformation,
    manager: CheckpointManager,
    mesh: Mesh,
) -> tuple[TrainState, Params, dict]:
    step = resume_step(config.run, config.resume_from_checkpoint)
    trainable_shapes, _ = split_params(shapes, config.freeze_mode)
    opt_shapes = jax.eval_shape(tx.init, trainable_shapes)
    params, ema, opt_state, position = manager.restore(
        step,
        unflatten(_placed(mesh, shapes)),
        unflatten(_placed(mesh, trainable_shapes)),
        _placed(mesh, opt_shapes),
    )
    trainable, frozen = split_params(flatten(params), config.freeze_mode)
    step_array = jax.device_put(jnp.asarray(step, jnp.int32), replicated(mesh))
    return TrainState(step_array, trainable, flatten(ema), opt_state), frozen, position


def _placed(mesh: Mesh, shapes: Any) -> Any:
    """Shapes with the placement that `state_sharding` gives them."""
    return jax.tree.map(
        lambda leaf, placement: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placement),
        shapes,
        state_sharding(mesh, shapes),
    )
