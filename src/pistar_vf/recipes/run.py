"""The value run: from settings to the last checkpoint."""

import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from pistar_vf import messages
from pistar_vf.checkpoints.layout import BEST_FOLDER
from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.frames.feature_table import HiddenTable
from pistar_vf.frames.loader import MixtureOrder, TrainOrder, train_batches
from pistar_vf.inference.evaluate import Evaluator, FrameSample
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.questions.language_table import train_language_batches
from pistar_vf.recipes.bootstrap import TimeoutBootstrap, with_current_targets
from pistar_vf.recipes.build import frozen_part, model_config, pretrained_params, value_spec
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.execute import common_fields, execute
from pistar_vf.recipes.features import fill_features
from pistar_vf.recipes.from_hub import pinned, revisions_of
from pistar_vf.recipes.lambda_returns import LambdaReturns
from pistar_vf.recipes.language import LanguageEvaluator, question_order
from pistar_vf.recipes.position import check_position, is_of_older_version, position_of
from pistar_vf.recipes.prepare import TrainingData, prepare_data
from pistar_vf.recipes.settings_file import keep_settings_file, settings_text
from pistar_vf.recipes.split import keep_split_file
from pistar_vf.sharding import check_batch_size, create_mesh
from pistar_vf.training.copies import Copy
from pistar_vf.training.plan import Batches, Every, Plan, Validation
from pistar_vf.training.state import TrainState
from pistar_vf.training.step import LossFn, joint_loss_fn, language_loss_fn, value_loss_fn
from pistar_vf.typing import Params

_log = logging.getLogger(__name__)


def run_training(config: TrainConfig) -> Path:
    """Trains and returns the last checkpoint's directory.

    Raises:
        PistarError: anything a user can put right; see each part.
    """
    config = pinned(config)
    mesh = create_mesh(config.fsdp_devices)
    check_batch_size(config.batch_size, mesh)
    data = prepare_data(config, jax.process_count())
    model = model_config(config, data)
    spec, value_function = value_spec(config, data, model), ValueFunction(model)
    folder, tokenizer = Path(config.run.checkpoint_dir), data.tokenizer.model
    settings = settings_text(config, data.inputs, revisions_of(config))
    frozen = frozen_part(config)
    run = _ValueRun(config, data, value_function, mesh, settings)
    return execute(
        config,
        run.plan(),
        value_function,
        mesh,
        CheckpointManager(folder, spec, tokenizer, config.max_to_keep, settings, frozen),
        _BestCheckpoint(
            CheckpointManager(
                folder / BEST_FOLDER, spec, tokenizer, settings=settings, frozen_part=frozen, only_newest=True
            )
        ),
        initial=lambda wanted: pretrained_params(config, value_function, wanted),
        begin=run.begin,
        facts=run.facts,
        recorded={"dataset_frames": len(data.table.labels)},
    )


class _ValueRun:
    """Training on frames, and on questions besides where there are some."""

    def __init__(
        self, config: TrainConfig, data: TrainingData, value_function: ValueFunction, mesh: Mesh, settings: str
    ):
        self._settings = settings
        self._config, self._data, self._mesh, self._value_function = config, data, mesh, value_function
        self._evaluator = self._create_evaluator()
        self._language_evaluator = self._create_language_evaluator()
        self._bootstrap = self._create_bootstrap()
        self._returns = self._create_returns()

    def plan(self) -> Plan:
        """What the engine needs to know."""
        config, evaluator = self._config, self._evaluator
        moving = self._returns is not None or self._bootstrap is not None
        return Plan(
            loss_fn=self._loss_fn(),
            **common_fields(config),
            unit="samples",
            title=messages.PROGRESS,
            batches=self._batches,
            in_force=functools.partial(with_current_targets, self._data.table.labels) if moving else None,
            validate=None if evaluator is None else functools.partial(self._validate, evaluator),
            every=tuple(self._looks()),
            name_rows=self._data.name_rows,
        )

    def begin(self, position: dict[str, Any], state: TrainState, frozen: Params) -> None:
        """The last one to refuse; then writes split.json and settings.json, and looks at the ends of time-outs."""
        if is_of_older_version(position):
            check_position(position, position_of(self._config, self._data))
        keep_split_file(self._config, self._data.trained_on)  # only now: a run that cannot begin leaves nothing behind
        if jax.process_index() == 0:
            keep_settings_file(self._config.run.checkpoint_dir, self._settings)
        fill_features(self._config, self._value_function, {**frozen, **state.trainable}, self._data.features)
        if self._bootstrap is not None:
            if position:
                self._bootstrap.use(np.array(position["bootstrap_values"], np.float32))
            else:
                self._bootstrap.look(state.ema, frozen)
        if self._returns is not None and position.get("lambda_values"):
            self._returns.use(np.array(position["lambda_values"], np.float32))

    def _looks(self) -> Iterator[Every]:
        """Time-outs first: a look at all frames is a look at theirs, too."""
        interval = self._config.bootstrap_interval
        if self._bootstrap is not None:
            yield Every(interval, "timeouts", functools.partial(_look_at_timeouts, self._bootstrap))
        if self._returns is not None:
            yield Every(interval, "targets", self._returns.look)

    def facts(self) -> dict[str, Any]:
        """Where the run stands, for a resume."""
        facts = {} if self._bootstrap is None else {"bootstrap_values": self._bootstrap.values.tolist()}
        return facts if self._returns is None else {**facts, "lambda_values": self._returns.values.tolist()}

    def _validate(self, evaluator: Evaluator, ema: Params, frozen: Params) -> Validation:
        values = evaluator.summary(ema, frozen)
        if any(isinstance(table, HiddenTable) for table in self._data.features):
            return Validation(values)  # what the head reads holds all inputs in one: none can be exchanged
        sensitivity = evaluator.sensitivity(ema, frozen)
        values["mae_images_shuffled"] = sensitivity.mae_images_shuffled
        if not np.isnan(sensitivity.mae_state_shuffled):
            values["mae_state_shuffled"] = sensitivity.mae_state_shuffled
        if self._language_evaluator is not None:
            values |= self._language_evaluator.summary(ema, frozen)
        return Validation(values, tuple(sensitivity.warnings()))

    def _loss_fn(self) -> LossFn:
        config = self._config
        value = value_loss_fn(
            self._value_function,
            augment=config.augment,
            state_noise=config.state_noise,
            label_encoding=config.label_encoding,
        )
        if self._data.language is None:
            return value
        return joint_loss_fn(value, language_loss_fn(self._value_function), config.vqa_weight)

    def _batches(self, first_step: int) -> Batches:
        config, data = self._config, self._data
        settings = (data.train_rows, config.batch_size, config.seed, jax.process_index(), jax.process_count())
        order = TrainOrder(*settings)
        if config.data_weight:
            order = MixtureOrder(*settings, parts=data.train_parts, weights=config.data_weight)
        batches = train_batches(data.table, order, first_step, config.num_workers)
        if data.language is None:
            return batches
        # Questions per step: the wanted share, at least one per device.
        count = max(1, round(config.vqa_ratio * config.batch_size / self._mesh.size)) * self._mesh.size
        asked = question_order(data.language, count, config.seed)
        questions = train_language_batches(data.language, asked, first_step, config.num_workers)
        return (batch.replace(language=language) for batch, language in zip(batches, questions))

    def _create_evaluator(self) -> Evaluator | None:
        config, data = self._config, self._data
        if data.val_rows is None:
            return None
        sample = FrameSample.of(data.val_rows, config.val_max_frames)
        return Evaluator(
            self._value_function, data.val_table, sample, config.batch_size, self._mesh, config.num_workers
        )

    def _create_language_evaluator(self) -> LanguageEvaluator | None:
        config, language = self._config, self._data.language
        if language is None or config.val_interval <= 0 or not len(language.val_records):
            return None
        return LanguageEvaluator(
            self._value_function, language, config.batch_size, self._mesh, num_workers=config.num_workers
        )

    def _create_bootstrap(self) -> TimeoutBootstrap | None:
        config, data = self._config, self._data
        if not data.timeouts.episodes:
            return None
        return TimeoutBootstrap(
            self._value_function, data.table, data.timeouts, config.batch_size, self._mesh, config.num_workers
        )

    def _create_returns(self) -> LambdaReturns | None:
        config, data = self._config, self._data
        if data.ends is None:
            return None
        return LambdaReturns(
            self._value_function,
            data.table,
            data.train_rows,
            data.ends,
            config.target_lambda,
            batch_size=config.batch_size,
            mesh=self._mesh,
            num_workers=config.num_workers,
        )


def _look_at_timeouts(bootstrap: TimeoutBootstrap, ema: Params, frozen: Params) -> dict[str, float]:
    bootstrap.look(ema, frozen)
    values = bootstrap.values
    numbers = {"mean": values.mean(), "min": values.min(), "max": values.max()}
    return {f"end_value_{name}": float(value) for name, value in numbers.items()}


class _BestCheckpoint:
    """The best state as a checkpoint that can be used, not resumed from."""

    def __init__(self, manager: CheckpointManager):
        self._manager = manager

    def forget_later(self, step: int) -> bool:
        return self._manager.remove_later(step)

    def write(self, best: Copy) -> None:
        self._manager.save(best.step, best.params, best.ema, None, {})

    def check(self) -> None:
        self._manager.check()

    def close(self) -> None:
        self._manager.close()
