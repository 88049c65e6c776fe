"""Stage 1 from settings to the best projector."""

import dataclasses
import logging
import shutil
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm_loggable.auto import tqdm

from pistar_vf import messages
from pistar_vf.checkpoints.layout import BEST_PROJECTOR, MODEL_FOLDER, TOKENIZER_FILE
from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.errors import ConfigError
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_config import stitched_config
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, num_parameters
from pistar_vf.questions.language_table import LanguageOrder, LanguageTable, train_language_batches
from pistar_vf.recipes.config import AlignmentConfig
from pistar_vf.recipes.language import LanguageEvaluator, open_language_table, vqa_texts
from pistar_vf.recipes.prepare import lookup
from pistar_vf.sharding import check_batch_size, create_mesh, replicated, state_sharding
from pistar_vf.tokenizer import PromptTokenizer, resolve_tokenizer, train_prompt_tokenizer
from pistar_vf.training.loop import StepResult, train_loop
from pistar_vf.training.optimizer import create_optimizer, create_schedule
from pistar_vf.training.records import Recorder, peak_memory_gib
from pistar_vf.training.state import TrainState, create_state, full_tree, held_shapes, split_params
from pistar_vf.training.step import create_step, language_loss_fn
from pistar_vf.typing import Params
from pistar_vf.weights.bundle import pretrained_paths
from pistar_vf.weights.pretrained import ValueModelWeightLoader, init_params
from pistar_vf.weights.projector import PREFIX, write_projector

_log = logging.getLogger(__name__)

CAMERA = "base_0_rgb"


def run_alignment(config: AlignmentConfig) -> Path:
    """Trains and returns the projector with the lowest validation loss.

    Beside it lie `tokenizer.model` and, where more than the projector was trained, the whole model (`model/`, to start
    another run from with `--pretrained_source checkpoint`).

    Raises:
        PistarError: anything a user can put right.
    """
    mesh = create_mesh(config.fsdp_devices)
    check_batch_size(config.batch_size, mesh)
    best = config.checkpoint_dir / BEST_PROJECTOR
    if best.exists():
        raise ConfigError(f"{best} exists already; pass another --checkpoint_dir, or move it away")
    tokenizer = _tokenizer(config)
    table = open_language_table(
        config.vqa,
        tokenizer,
        cameras=(CAMERA,),
        image_size=_image_size(config),
        image_fit=config.image_fit,
        seed=config.seed,
    )
    if not len(table.val_records):
        raise ConfigError(f"--val_fraction {config.val_fraction}: expected held-out questions to choose the best by")
    value_function = _value_function(config, tokenizer)
    trainable, frozen = split_params(_params(config, value_function, mesh), config.freeze_mode)
    _log.info(
        messages.MODEL_READY.format(
            parameters=num_parameters(frozen) + num_parameters(trainable), trainable=num_parameters(trainable)
        )
    )
    config.checkpoint_dir.mkdir(parents=True, exist_ok=True)
    (config.checkpoint_dir / TOKENIZER_FILE).write_bytes(tokenizer.model)
    _train(config, value_function, table, trainable, frozen, mesh)
    return best


def _train(
    config: AlignmentConfig,
    value_function: ValueFunction,
    table: LanguageTable,
    trainable: Params,
    frozen: Params,
    mesh: Mesh,
) -> None:
    tx = create_optimizer(config.optimizer, config.num_train_steps)
    placement = state_sharding(mesh, jax.eval_shape(lambda: create_state(trainable, tx)))
    state = jax.jit(lambda t: create_state(t, tx), out_shardings=placement)(trainable)
    schedule = create_schedule(config.optimizer, config.num_train_steps)
    step = create_step(language_loss_fn(value_function), tx, schedule, seed=config.seed, ema_decay=config.ema_decay)
    jitted = jax.jit(step, donate_argnums=0, out_shardings=(placement, replicated(mesh)))
    order = LanguageOrder(
        table,
        config.batch_size,
        seed=config.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    batches = train_language_batches(table, order, 0, config.num_workers)
    watch = _Watch(config, value_function, table, frozen, mesh)
    bar = tqdm(total=config.num_train_steps, desc="alignment", disable=jax.process_index() != 0)
    try:
        with bar:
            watch.begin(state, bar.write)
            for result in train_loop(state, frozen, jitted, batches, mesh, config.num_train_steps):
                bar.update(1)
                watch.look(result, bar.write)
    finally:
        watch.recorder.close()


class _Watch:
    """Logs, validates, and keeps the best."""

    def __init__(
        self,
        config: AlignmentConfig,
        value_function: ValueFunction,
        table: LanguageTable,
        frozen: Params,
        mesh: Mesh,
    ):
        self._config, self._frozen = config, frozen
        self._evaluator = LanguageEvaluator(
            value_function,
            table,
            config.batch_size,
            mesh,
            max_records=config.val_max_questions,
            num_workers=config.num_workers,
        )
        self.recorder = Recorder(
            config.run.checkpoint_dir, config.wandb, {**config.as_text(), "num_questions": len(table.train_records)}
        )
        self._best = float("inf")
        self._losses: list[jax.Array] = []
        self._since = time.perf_counter()

    def begin(self, state: TrainState, say) -> None:
        """Before the first step: what the fresh projector knows."""
        values = self._evaluator.summary(state.ema, self._frozen)
        self._report(0, values, say)
        self._since = time.perf_counter()

    def look(self, result: StepResult, say) -> None:
        """After every step."""
        config, last = self._config, result.step == self._config.num_train_steps
        self._losses.append(result.scalars["loss"])
        if result.step % config.log_interval == 0 or last:
            self._log(result, say)
        if result.step % config.val_interval == 0 or last:
            self._validate(result, say)

    def _log(self, result: StepResult, say) -> None:
        seconds = time.perf_counter() - self._since
        values = {
            "language_loss": float(np.mean(jax.device_get(self._losses))),
            "learning_rate": float(result.scalars["learning_rate"]),
            "questions_per_second": len(self._losses) * self._config.batch_size / seconds,
            "peak_memory_gib": peak_memory_gib(),
        }
        self.recorder.write(result.step, "train", values)
        say(f"Step {result.step}: " + ", ".join(f"{name}={value:.4g}" for name, value in values.items()))
        self._losses, self._since = [], time.perf_counter()

    def _validate(self, result: StepResult, say) -> None:
        started = time.perf_counter()
        values = self._evaluator.summary(result.state.ema, self._frozen)
        self._report(result.step, values, say)
        if values["language_loss"] < self._best:
            self._best = values["language_loss"]
            self._save(result.state, result.step)
        self._since += time.perf_counter() - started

    def _report(self, step: int, values: dict[str, float], say) -> None:
        self.recorder.write(step, "val", values)
        say(f"Step {step}: validation " + ", ".join(f"{name}={value:.4g}" for name, value in values.items()))

    def _save(self, state: TrainState, step: int) -> None:
        folder = self._config.checkpoint_dir
        write_projector(folder / BEST_PROJECTOR, {**self._frozen, **state.ema})
        if self._config.freeze_mode == "all_but_projector":
            return
        partial = folder / f"{MODEL_FOLDER}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        tree = {
            "params": full_tree(state.trainable, self._frozen),
            "ema_params": full_tree(state.ema, self._frozen),
            "step": jnp.asarray(step, jnp.int32),
        }
        write_tree(partial, tree)
        shutil.rmtree(folder / MODEL_FOLDER, ignore_errors=True)
        partial.rename(folder / MODEL_FOLDER)


def _tokenizer(config: AlignmentConfig) -> PromptTokenizer:
    if config.tokenizer_path is None and config.gemma_variant == "gemma3_tiny":
        model = train_prompt_tokenizer(vqa_texts(config.vqa)).model
        return PromptTokenizer(model, max_token_len=config.max_token_len)
    return PromptTokenizer.load(resolve_tokenizer(config.tokenizer_path), max_token_len=config.max_token_len)


def _image_size(config: AlignmentConfig) -> int:
    return config.image_size or lookup(siglip.VARIANTS, config.siglip_variant, "--siglip_variant").image_size


def _value_function(config: AlignmentConfig, tokenizer: PromptTokenizer) -> ValueFunction:
    tower = lookup(siglip.VARIANTS, config.siglip_variant, "--siglip_variant")
    language = lookup(gemma3.VARIANTS, config.gemma_variant, "--gemma_variant")
    accelerated = jax.default_backend() != "cpu"
    return ValueFunction(
        stitched_config(
            dataclasses.replace(tower, image_size=_image_size(config)),
            dataclasses.replace(language, vocab_size=max(language.vocab_size, tokenizer.vocab_size)),
            cameras=(CAMERA,),
            state_encoding="none",
            dtype=("bfloat16" if accelerated else "float32") if config.dtype == "auto" else config.dtype,
            remat=config.remat,
        )
    )


def _params(config: AlignmentConfig, value_function: ValueFunction, mesh: Mesh) -> Params:
    """Pretrained towers where there are some; the projector always starts fresh."""
    shapes = flatten(value_function.shapes())
    held = held_shapes(shapes, config.freeze_mode, jnp.dtype(config.frozen_dtype))
    placement = state_sharding(mesh, held)
    wanted = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placement[name]) for name, leaf in held.items()
    }
    restored = {}
    if config.pretrained_source is not None:
        paths = pretrained_paths(config.pretrained_source, config.pretrained_path)
        restored = ValueModelWeightLoader(paths, value_function.config, key="ema_params").load(wanted)
    missing = {name: leaf for name, leaf in wanted.items() if name not in restored or name.startswith(PREFIX)}
    return dict(sorted({**restored, **init_params(value_function, config.seed, missing)}.items()))
