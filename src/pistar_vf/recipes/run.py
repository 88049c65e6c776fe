"""A training run from settings to the last checkpoint."""

import itertools
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm_loggable.auto import tqdm

from pistar_vf import messages
from pistar_vf.batch import ValueBatch
from pistar_vf.checkpoints.layout import step_name
from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.errors import ConfigError
from pistar_vf.frames.loader import MixtureOrder, TrainOrder, train_batches
from pistar_vf.inference.evaluate import Evaluator, FrameSample
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import num_parameters
from pistar_vf.questions.language_table import LanguageOrder, train_language_batches
from pistar_vf.recipes.bootstrap import TimeoutBootstrap
from pistar_vf.recipes.build import create_or_restore, model_config, value_spec
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.language import LanguageEvaluator
from pistar_vf.recipes.position import check_position, position_of
from pistar_vf.recipes.prepare import TrainingData, prepare_data
from pistar_vf.recipes.split import keep_split_file
from pistar_vf.sharding import check_batch_size, create_mesh, put_batch, replicated, state_sharding
from pistar_vf.training.interrupt import stop_requested
from pistar_vf.training.loop import StepResult, check_finite, train_loop
from pistar_vf.training.optimizer import create_optimizer, create_schedule
from pistar_vf.training.records import Recorder, peak_memory_gib
from pistar_vf.training.state import TrainState, full_tree
from pistar_vf.training.step import LossFn, create_step, joint_loss_fn, language_loss_fn, value_loss_fn
from pistar_vf.typing import Params

_log = logging.getLogger(__name__)
_NUM_PREFETCHED = 3


def run_training(config: TrainConfig) -> Path:
    """Trains and returns the last checkpoint's directory.

    Raises:
        PistarError: anything a user can put right; see each part.
    """
    mesh = create_mesh(config.fsdp_devices)
    check_batch_size(config.batch_size, mesh)
    _log.info(messages.LOCAL_BATCH_SIZE.format(size=config.batch_size // jax.process_count()))
    data = prepare_data(config)
    model = model_config(config, data)
    spec = value_spec(config, data, model)
    manager = CheckpointManager(config.checkpoint_dir, spec, data.tokenizer.model, config.max_to_keep)
    best_manager = CheckpointManager(Path(config.checkpoint_dir) / "best", spec, data.tokenizer.model, max_to_keep=1)
    tx = create_optimizer(config.optimizer, config.num_train_steps)
    value_function = ValueFunction(model)
    state, frozen, position = create_or_restore(config, value_function, tx, manager, mesh)
    check_position(position, position_of(config, data))
    keep_split_file(config, data.trained_on)  # only now: a run that cannot begin leaves nothing behind
    num_trainable = num_parameters(state.trainable)
    _log.info(messages.MODEL_READY.format(parameters=num_parameters(frozen) + num_trainable, trainable=num_trainable))
    run = _Run(config, data, value_function, mesh, frozen, manager, best_manager)
    run.best_loss = position.get("best_loss", float("inf"))
    if run.bootstrap is not None and position:
        run.bootstrap.use(np.array(position["bootstrap_values"], np.float32))
    try:
        return run.train(state, tx)
    finally:
        run.recorder.close()
        manager.close()
        best_manager.close()


class _Run:
    """The moving parts of one run."""

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        value_function: ValueFunction,
        mesh: Mesh,
        frozen: Params,
        manager: CheckpointManager,
        best_manager: CheckpointManager,
    ):
        self.config, self.data, self.mesh, self.frozen = config, data, mesh, frozen
        self.value_function = value_function
        self.manager, self.best_manager = manager, best_manager
        self.recorder = Recorder(
            config.run.checkpoint_dir, config.wandb, {**config.as_text(), "dataset_frames": len(data.table.labels)}
        )
        self.evaluator = self._create_evaluator()
        self.language_evaluator = self._create_language_evaluator()
        self.bootstrap = self._create_bootstrap()
        self.best_loss = float("inf")
        self.best: TrainState | None = None
        self.saved_step = -1
        self.scalars: list[dict[str, jax.Array]] = []
        self.wait_seconds = 0.0
        self.window_start = time.perf_counter()

    def train(self, state: TrainState, tx: Any) -> Path:
        config = self.config
        first_step = int(state.step)
        if first_step >= config.num_train_steps:
            raise ConfigError(
                f"--num_train_steps {config.num_train_steps}: the checkpoint is at step {first_step} already; "
                "pass a larger number to go on"
            )
        batches = self._batches(first_step)
        first, batches = _peek(batches)
        train_step = self._compile(state, tx, first)
        if self.bootstrap is not None:
            if np.isnan(self.bootstrap.values).any():
                self.bootstrap.look(state.ema, self.frozen)
            batches = self.bootstrap.with_current_targets(batches)
        steps = train_loop(state, self.frozen, train_step, batches, self.mesh, config.num_train_steps)
        bar = tqdm(
            total=config.num_train_steps,
            initial=first_step,
            desc=messages.PROGRESS,
            dynamic_ncols=True,
            disable=jax.process_index() != 0,
        )
        self.window_start = time.perf_counter()
        with bar, stop_requested() as stopping:
            for result in steps:
                bar.update(1)
                self._after_step(result, bar.write)
                if stopping():
                    check_finite(result)
                    self._save(result.state, result.step)
                    self.manager.wait()
                    print(f"stopped at step {result.step}; go on with --resume_from_checkpoint latest", flush=True)
                    raise KeyboardInterrupt
        self._save(result.state, config.num_train_steps)
        self.manager.wait()
        path = self.manager.root / step_name(config.num_train_steps)
        _log.info(messages.FINISHED.format(path=path))
        return path

    def _after_step(self, result: StepResult, say: Callable[[str], None]) -> None:
        """Logs, validates, looks at time-outs and saves where the intervals say so."""
        config, step = self.config, result.step
        self.scalars.append(result.scalars)
        self.wait_seconds += result.wait_seconds
        last = step == config.num_train_steps
        if step % config.log_interval == 0 or last:
            self._log_training(step, say)
        if self.evaluator is not None and (step % config.val_interval == 0 or last):
            self._validate(result, say)
        if self.bootstrap is not None and step % config.bootstrap_interval == 0:
            self._look_at_timeouts(result)
        if step % config.save_interval == 0:
            # The loop looks at a step's numbers one step later; a checkpoint cannot wait that long.
            check_finite(result)
            self._save(result.state, step)

    def _log_training(self, step: int, say: Callable[[str], None]) -> None:
        host = jax.device_get(self.scalars)
        seconds = time.perf_counter() - self.window_start
        values = {name: float(np.mean([scalars[name] for scalars in host])) for name in host[0]}
        # Of the last step, as a schedule has no meaningful average.
        values["learning_rate"] = float(host[-1]["learning_rate"])
        values["samples_per_second"] = len(host) * self.config.batch_size / seconds
        values["data_wait_share"] = self.wait_seconds / seconds
        values["peak_memory_gib"] = peak_memory_gib()
        self.recorder.write(step, "train", values)
        say(f"Step {step}: " + ", ".join(f"{name}={_short(value)}" for name, value in values.items()))
        self.scalars, self.wait_seconds, self.window_start = [], 0.0, time.perf_counter()

    def _validate(self, result: StepResult, say: Callable[[str], None]) -> None:
        started = time.perf_counter()
        values = self.evaluator.summary(result.state.ema, self.frozen)
        sensitivity = self.evaluator.sensitivity(result.state.ema, self.frozen)
        values["mae_images_shuffled"] = sensitivity.mae_images_shuffled
        if not np.isnan(sensitivity.mae_state_shuffled):
            values["mae_state_shuffled"] = sensitivity.mae_state_shuffled
        if self.language_evaluator is not None:
            values |= self.language_evaluator.summary(result.state.ema, self.frozen)
        self.recorder.write(result.step, "val", values)
        say(f"Step {result.step}: validation " + ", ".join(f"{k}={_short(v)}" for k, v in values.items()))
        for warning in sensitivity.warnings():
            say(f"WARNING: {warning}")
        if values["loss"] < self.best_loss:
            self.best_loss, self.best = values["loss"], _copy(result.state)
        # Validation is not training: it must not show as a slow step.
        self.window_start += time.perf_counter() - started

    def _look_at_timeouts(self, result: StepResult) -> None:
        started = time.perf_counter()
        self.bootstrap.look(result.state.ema, self.frozen)
        values = self.bootstrap.values
        numbers = {"mean": values.mean(), "min": values.min(), "max": values.max()}
        self.recorder.write(result.step, "timeouts", {f"end_value_{name}": float(v) for name, v in numbers.items()})
        self.window_start += time.perf_counter() - started

    def _save(self, state: TrainState, step: int) -> None:
        if step == self.saved_step:
            return
        self.saved_step = step
        if self.best is not None:
            self._write(self.best_manager, self.best, int(self.best.step), with_optimizer=False)
            self.best = None
        self._write(self.manager, _copy(state), step, with_optimizer=True)
        _log.info(messages.SAVED.format(path=self.manager.root / step_name(step)))

    def _write(self, manager: CheckpointManager, state: TrainState, step: int, with_optimizer: bool) -> None:
        manager.save(
            step,
            full_tree(state.trainable, self.frozen),
            full_tree(state.ema, self.frozen),
            state.opt_state if with_optimizer else None,
            self._full_position(step),
        )

    def _full_position(self, step: int) -> dict[str, Any]:
        position = {**position_of(self.config, self.data), "step": step, "best_loss": self.best_loss}
        if self.bootstrap is not None:
            position["bootstrap_values"] = self.bootstrap.values.tolist()
        return position

    def _compile(self, state: TrainState, tx: Any, batch: ValueBatch) -> Callable:
        config = self.config
        _log.info(messages.COMPILING)
        started = time.perf_counter()
        schedule = create_schedule(config.optimizer, config.num_train_steps)
        step = create_step(self._loss_fn(), tx, schedule, seed=config.seed, ema_decay=config.ema_decay)
        placement = (state_sharding(self.mesh, state), replicated(self.mesh))
        jitted = jax.jit(step, donate_argnums=0, out_shardings=placement)
        compiled = jitted.lower(state, self.frozen, put_batch(batch, self.mesh)).compile()
        _log.info(messages.COMPILED.format(seconds=time.perf_counter() - started))
        return compiled

    def _loss_fn(self) -> LossFn:
        config = self.config
        value = value_loss_fn(
            self.value_function,
            augment=config.augment,
            state_noise=config.state_noise,
            label_encoding=config.label_encoding,
        )
        if self.data.language is None:
            return value
        return joint_loss_fn(value, language_loss_fn(self.value_function), config.vqa_weight)

    def _batches(self, first_step: int):
        config, data = self.config, self.data
        settings = (data.train_rows, config.batch_size, config.seed, jax.process_index(), jax.process_count())
        order = TrainOrder(*settings)
        if config.data_weight:
            order = MixtureOrder(*settings, parts=data.train_parts, weights=config.data_weight)
        batches = train_batches(self.data.table, order, first_step, config.num_workers)
        if data.language is None:
            return batches
        questions = train_language_batches(data.language, self._question_order(), first_step, config.num_workers)
        return (batch.replace(language=language) for batch, language in zip(batches, questions))

    def _question_order(self) -> LanguageOrder:
        """Questions per step: the wanted share, at least one per device."""
        config, devices = self.config, self.mesh.size
        count = max(1, round(config.vqa_ratio * config.batch_size / devices)) * devices
        return LanguageOrder(
            self.data.language,
            count,
            seed=config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    def _create_language_evaluator(self) -> LanguageEvaluator | None:
        language = self.data.language
        if language is None or self.config.val_interval <= 0 or not len(language.val_records):
            return None
        return LanguageEvaluator(
            self.value_function, language, self.config.batch_size, self.mesh, num_workers=self.config.num_workers
        )

    def _create_evaluator(self) -> Evaluator | None:
        if self.data.val_rows is None:
            return None
        sample = FrameSample.of(self.data.val_rows, self.config.val_max_frames)
        return Evaluator(
            self.value_function, self.data.val_table, sample, self.config.batch_size, self.mesh, self.config.num_workers
        )

    def _create_bootstrap(self) -> TimeoutBootstrap | None:
        config, data = self.config, self.data
        if not data.timeouts.episodes:
            return None
        return TimeoutBootstrap(
            self.value_function, data.table, data.timeouts, config.batch_size, self.mesh, config.num_workers
        )


def _peek(batches):
    """The first batch, and the same iterator with it put back."""
    _log.info(messages.PREFETCHING)
    first = list(itertools.islice(batches, _NUM_PREFETCHED))
    _log.info(messages.PREFETCHED.format(count=len(first)))
    return first[0], itertools.chain(first, batches)


def _copy(state: TrainState) -> TrainState:
    """Own buffers: the next step donates the state's."""
    return jax.tree.map(jnp.copy, state)


def _short(value: float) -> str:
    return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4g}"
