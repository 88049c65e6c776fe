"""The alignment run: stage 1 from settings to the best projector."""

import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from pistar_vf.checkpoints.layout import BEST_PROJECTOR, MODEL_FOLDER, TOKENIZER_FILE
from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.errors import ConfigError
from pistar_vf.models.value_config import stitched_config
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.questions.language_table import LanguageTable, train_language_batches
from pistar_vf.recipes.build import frozen_part
from pistar_vf.recipes.config import AlignmentConfig
from pistar_vf.recipes.execute import common_fields, execute
from pistar_vf.recipes.from_hub import revisions_of
from pistar_vf.recipes.inputs import digest_questions
from pistar_vf.recipes.language import LanguageEvaluator, open_language_table, question_order, vqa_texts
from pistar_vf.recipes.preflight import check_flags, resume_folder
from pistar_vf.recipes.settings_file import check_settings, keep_settings_file, settings_text
from pistar_vf.recipes.start import check_start
from pistar_vf.recipes.towers import create_tokenizer, model_image_size, towers
from pistar_vf.sharding import check_batch_size, create_mesh
from pistar_vf.tokenizer import PromptTokenizer
from pistar_vf.training.copies import Copy
from pistar_vf.training.plan import Batches, Plan, Validation
from pistar_vf.training.state import TrainState
from pistar_vf.training.step import language_loss_fn
from pistar_vf.typing import Params
from pistar_vf.weights.bundle import pretrained_paths
from pistar_vf.weights.pretrained import ValueModelWeightLoader
from pistar_vf.weights.projector import PREFIX, write_projector

CAMERA = "base_0_rgb"


def run_alignment(config: AlignmentConfig) -> Path:
    """Trains and returns the projector with the lowest validation loss.

    Beside it lie `tokenizer.model`, the checkpoints to go on from and, where more than the projector was trained, the
    whole model (`model/`, to start another run from with `--pretrained_source checkpoint`).

    Raises:
        PistarError: anything a user can put right.
    """
    problems = check_flags(config)
    problems.attempt(check_start, config)
    problems.refuse()
    mesh = create_mesh(config.fsdp_devices)
    check_batch_size(config.batch_size, mesh)
    folder, resumed = config.run.checkpoint_dir, resume_folder(config.run)
    texts = lambda: vqa_texts(config.vqa)  # noqa: E731
    tokenizer = create_tokenizer(config.model, config.max_token_len, (), texts, checkpoint=resumed)
    table = open_language_table(
        config.vqa,
        tokenizer,
        cameras=(CAMERA,),
        image_size=model_image_size(config.model),
        image_fit=config.image_fit,
        seed=config.seed,
    )
    if not len(table.val_records):
        raise ConfigError(f"--val_fraction {config.val_fraction}: expected held-out questions to choose the best by")
    inputs = {"questions": digest_questions(table.index), "tokenizer": tokenizer.digest}
    if resumed is not None:
        check_settings(resumed, config, inputs)
    fields = towers(config.model, config.devices, tokenizer)
    value_function = ValueFunction(stitched_config(**fields, cameras=(CAMERA,), state_encoding="none"))
    settings = settings_text(config, inputs, revisions_of(config))
    run = _AlignmentRun(config, table, tokenizer, value_function, mesh, settings)
    execute(
        config,
        run.plan(),
        value_function,
        mesh,
        CheckpointManager(folder, None, tokenizer.model, config.max_to_keep, settings, frozen_part(config)),
        _BestProjector(folder, whole_model=config.freeze_mode != "all_but_projector"),
        initial=lambda wanted: _pretrained_towers(config, value_function, wanted),
        begin=run.begin,
        facts=run.facts,
        recorded={"num_questions": len(table.train_records)},
    )
    return folder / BEST_PROJECTOR


class _AlignmentRun:
    """Training on questions about pictures alone."""

    def __init__(
        self,
        config: AlignmentConfig,
        table: LanguageTable,
        tokenizer: PromptTokenizer,
        value_function: ValueFunction,
        mesh: Mesh,
        settings: str,
    ):
        self._settings = settings
        self._config, self._table, self._tokenizer, self._value_function = config, table, tokenizer, value_function
        self._evaluator = LanguageEvaluator(
            value_function,
            table,
            config.batch_size,
            mesh,
            max_records=config.val_max_questions,
            num_workers=config.num_workers,
        )

    def plan(self) -> Plan:
        """What the engine needs to know."""
        config = self._config
        return Plan(
            loss_fn=language_loss_fn(self._value_function),
            **common_fields(config),
            unit="questions",
            title="alignment",
            batches=self._batches,
            validate=lambda ema, frozen: Validation(self._evaluator.summary(ema, frozen)),
            chosen_by="language_loss",
            validate_first=True,  # what a fresh projector knows
            name_rows=lambda rows: "questions " + ", ".join(map(str, rows.tolist())),
        )

    def begin(self, position: dict[str, Any], state: TrainState, frozen: Params) -> None:
        """Writes the tokenizer and settings.json; only now: a run that cannot begin leaves nothing behind."""
        folder = self._config.run.checkpoint_dir
        folder.mkdir(parents=True, exist_ok=True)
        if jax.process_index() == 0:
            (folder / TOKENIZER_FILE).write_bytes(self._tokenizer.model)
            keep_settings_file(folder, self._settings)

    def facts(self) -> dict[str, Any]:
        """Where the run stands besides its step: nothing."""
        return {}

    def _batches(self, first_step: int) -> Batches:
        config = self._config
        order = question_order(self._table, config.batch_size, config.seed)
        return train_language_batches(self._table, order, first_step, config.num_workers)


class _BestProjector:
    """The best state as a projector to start stage 2 from, and as a model to align to."""

    def __init__(self, folder: Path, *, whole_model: bool):
        self._folder, self._whole_model = folder, whole_model

    def forget_later(self, step: int) -> bool:
        """A projector does not say of which step it is: it stays until a better one."""
        return False

    def write(self, best: Copy) -> None:
        if jax.process_index() == 0:
            write_projector(self._folder / BEST_PROJECTOR, flatten(best.ema))
        if not self._whole_model:
            return
        partial = self._folder / f"{MODEL_FOLDER}.partial"
        if jax.process_index() == 0:
            shutil.rmtree(partial, ignore_errors=True)
        tree = {"params": best.params, "ema_params": best.ema, "step": jnp.asarray(best.step, jnp.int32)}
        write_tree(partial, tree)
        if jax.process_index() == 0:
            _replace_folder(partial, self._folder / MODEL_FOLDER)

    def check(self) -> None:
        """Nothing is written in the background."""

    def close(self) -> None:
        """Nothing is under way."""


def _replace_folder(new: Path, place: Path) -> None:
    """In two renames, between which a kill leaves both folders; nothing is deleted before the new one is in place."""
    old = place.with_name(f"{place.name}.old")
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _pretrained_towers(config: AlignmentConfig, value_function: ValueFunction, wanted: Params) -> Params:
    """Towers where there are some; the projector always starts fresh."""
    if config.pretrained_source is None:
        return {}
    paths = pretrained_paths(config.pretrained_source, config.pretrained_path, config.tokenizer_path)
    restored = ValueModelWeightLoader(paths, value_function.config, key="ema_params").load(wanted)
    return {name: leaf for name, leaf in restored.items() if not name.startswith(PREFIX)}
