"""What flags and folders tell about a run before anything is opened. Loads no JAX: a wrong word costs no seconds."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

from pistar_vf.checkpoints.layout import BEST_PROJECTOR, complete_steps, step_name
from pistar_vf.choices import PretrainedSource
from pistar_vf.errors import CheckpointError, ConfigError, DatasetError
from pistar_vf.hub.unfinished import is_unfinished
from pistar_vf.lerobot.metadata import find_dataset
from pistar_vf.questions.resolve import find_vqa_data
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.problems import Problems
from pistar_vf.recipes.settings_file import check_settings
from pistar_vf.tokenizer import resolve_tokenizer
from pistar_vf.training.settings import RunSettings
from pistar_vf.weights.bundle import pretrained_paths
from pistar_vf.weights.downloads import missing_tower
from pistar_vf.weights.settings import PretrainedSettings

_SMALLEST_SHARE = 1e-4
_OF_ONE_DATASET = ("train_episodes", "val_episodes", "outcome_file")
_OTHER_SPLITS = ("train_episodes", "val_episodes", "val_data_dir")


def check_flags(config: TrainConfig | AlignmentConfig) -> Problems:
    """Everything that the flags contradict each other in, and every folder and file that is not where they say."""
    problems = Problems()
    for check in (*config.checks(), *_checks_of_both(config)):
        problems.attempt(check)
    for check in _train_checks(config) if isinstance(config, TrainConfig) else _alignment_checks(config):
        problems.attempt(check)
    return problems


def data_is_there(config: TrainConfig) -> bool:
    """Whether the training data can be looked at."""
    try:
        return all(find_dataset(folder) for folder in config.data.data_dirs)
    except DatasetError:
        return False


def resume_step(run: RunSettings, name: str) -> int:
    """The step that `--resume_from_checkpoint` means.

    Raises:
        CheckpointError: the run has no such checkpoint; lists those it has.
    """
    root = Path(run.checkpoint_dir).absolute()
    by_name = {step_name(step): step for step in complete_steps(root)}
    if name == "latest" and by_name:
        return max(by_name.values())
    if name not in by_name:
        raise CheckpointError(f"--resume_from_checkpoint {name}: {root} holds {', '.join(by_name) or 'no checkpoints'}")
    return by_name[name]


def resume_folder(run: RunSettings) -> Path | None:
    """The checkpoint to resume from; None for a fresh start.

    Raises:
        CheckpointError: see `resume_step`.
    """
    if run.resume_from_checkpoint is None:
        return None
    return Path(run.checkpoint_dir) / step_name(resume_step(run, run.resume_from_checkpoint))


def _checks_of_both(config: TrainConfig | AlignmentConfig) -> Iterator[Callable[[], object]]:
    yield lambda: _check_positive(config.run)
    yield from _source_checks(config.start, config.model.tokenizer_path)
    yield lambda: _check_folder(config)
    resumes = config.run.resume_from_checkpoint is not None
    trained = resumes or config.model.gemma_variant == "gemma3_tiny"  # with the run, or for it
    if config.model.tokenizer_path is not None or not trained:
        yield lambda: resolve_tokenizer(config.model.tokenizer_path)


def _train_checks(config: TrainConfig) -> Iterator[Callable[[], object]]:
    for folder in (*config.data.data_dirs, config.data.val_data_dir):
        if folder is not None:
            yield functools.partial(find_dataset, folder)
    yield lambda: _check_mixture(config)
    yield lambda: _check_split(config)
    yield lambda: _check_file("--projector_path", config.start.projector_path)
    if config.data.cache_features:
        yield lambda: _check_features(config)
    if config.model.lora_rank and config.optimizer.freeze_mode.startswith("all_but_"):
        yield lambda: _refuse(
            "--lora_rank", f"0 with --freeze_mode {config.optimizer.freeze_mode}", config.model.lora_rank
        )
    if config.optimizer.freeze_mode == "all_but_head":
        yield lambda: _check_head_alone(config)
    if not 0.0 < config.labels.target_lambda <= 1.0:
        yield lambda: _refuse("--target_lambda", "a number above 0 and at most 1", config.labels.target_lambda)
    if config.labels.bootstrap_interval < 1:
        yield lambda: _refuse("--bootstrap_interval", "at least 1 step", config.labels.bootstrap_interval)
    if (vqa := config.questions.vqa) is not None:
        yield lambda: find_vqa_data(vqa.data, vqa.subset)
        yield lambda: _check_questions(config)


def _alignment_checks(config: AlignmentConfig) -> Iterator[Callable[[], object]]:
    yield lambda: find_vqa_data(config.vqa.data, config.vqa.subset)
    if config.optimizer.freeze_mode == "all_but_head":
        yield lambda: _refuse("--freeze_mode", "one that trains what answers pass (all_but_projector)", "all_but_head")
    best = config.run.checkpoint_dir / BEST_PROJECTOR
    if best.exists() and config.run.resume_from_checkpoint is None:
        yield lambda: _raise(ConfigError(f"{best} exists already; pass another --checkpoint_dir, or move it away"))


def _check_positive(run: RunSettings) -> None:
    for name in ("num_train_steps", "log_interval", "save_interval"):
        if getattr(run, name) < 1:
            _refuse(f"--{name}", "at least 1 step", getattr(run, name))


def _source_checks(start: PretrainedSettings, tokenizer_path: str | None) -> Iterator[Callable[[], object]]:
    """One for each path, so that each that is missing is named."""
    yield lambda: _pretrained_paths(start, tokenizer_path)
    named = start.pretrained_path if getattr(start, "source", None) != "bundle" else ()  # whose parts are looked for
    for path in named:
        yield functools.partial(_check_weights, path.expanduser())


def _pretrained_paths(start: PretrainedSettings, tokenizer_path: str | None) -> None:
    source = getattr(start, "source", start.pretrained_source)
    if source is None and start.pretrained_path:
        raise ConfigError(
            f"--pretrained_path {start.pretrained_path[0]}: expected --pretrained_source with it, to say what it is: "
            f"one of {', '.join(get_args(PretrainedSource))}"
        )
    if source is not None:
        pretrained_paths(source, start.pretrained_path, tokenizer_path)


def _check_weights(path: Path) -> None:
    if not path.exists() or is_unfinished(path):
        raise missing_tower(path, f"--pretrained_path {path}: no such file or folder")


def _check_mixture(config: TrainConfig) -> None:
    count, weights = len(config.data.data_dirs), config.data.data_weight
    if weights and (len(weights) != count or not min(weights) >= _SMALLEST_SHARE * sum(weights) > 0):
        raise ConfigError(
            f"--data_weight: expected {count} number(s) above 0, one for each --data_dir and none below "
            f"{_SMALLEST_SHARE} of their sum, got {' '.join(map(str, weights))}"
        )
    for flag in _OF_ONE_DATASET if count > 1 else ():
        if config.flat()[flag] is not None:
            raise ConfigError(
                f"--{flag}: expected one --data_dir with it, got {count}, whose episodes share their numbers; "
                "use --val_fraction or --val_data_dir, and --outcome_column"
            )


def _check_split(config: TrainConfig) -> None:
    if config.split.ratios is None:
        return
    for flag in _OTHER_SPLITS:
        if config.flat()[flag] is not None:
            raise ConfigError(
                f"--{flag}: expected no --train_ratio, --val_ratio and --test_ratio with it, got both; say once which "
                "episodes are held out"
            )


def _check_folder(config: TrainConfig | AlignmentConfig) -> None:
    """A fresh run needs a folder without checkpoints; a resumed one the checkpoint, of the same run."""
    folder = resume_folder(config.run)
    if folder is not None:
        check_settings(folder, config)
        return
    root = Path(config.run.checkpoint_dir).absolute()
    nearest = next(path for path in (root, *root.parents) if path.exists())
    if not nearest.is_dir():
        raise ConfigError(f"--checkpoint_dir {root}: expected a folder, but {nearest} is a file; name another one")
    if existing := complete_steps(root):
        raise ConfigError(
            f"{root} already holds checkpoints (last: {step_name(existing[-1])}); "
            "pass --resume_from_checkpoint latest to go on, or another --checkpoint_dir"
        )


def _check_features(config: TrainConfig) -> None:
    """Features are those of the tower as it is and of pictures as they are."""
    if config.optimizer.freeze_mode == "none":
        _refuse("--cache_features", "a frozen vision tower (--freeze_mode siglip_only or all_backbones)", "none")
    if config.optimizer.freeze_mode == "all_but_head" and config.augmentation.state_noise:
        noise = config.augmentation.state_noise
        _refuse("--cache_features", "--state_noise 0 with --freeze_mode all_but_head, as states are cached too", noise)
    if config.augmentation.augment:
        _refuse("--cache_features", "--no-augment with it, as features are of whole pictures", "augmentation")


def _check_head_alone(config: TrainConfig) -> None:
    """Everything in front of the head must have been trained before."""
    source = config.start.source
    if source not in (None, "bundle", "checkpoint"):  # without a source, random towers are refused elsewhere
        _refuse("--freeze_mode all_but_head", "a whole model (--pretrained_source checkpoint or bundle)", source)
    if config.questions.vqa is not None:
        _refuse("--freeze_mode all_but_head", "no --vqa_data with it, as answers do not pass the head", "questions")


def _check_questions(config: TrainConfig) -> None:
    if config.questions.vqa_ratio <= 0 or config.questions.vqa_weight < 0:
        raise ConfigError(
            f"--vqa_ratio {config.questions.vqa_ratio}, --vqa_weight {config.questions.vqa_weight}: expected a ratio "
            "above 0 and a weight of 0 or more; leave out --vqa_data to train without questions"
        )


def _check_file(flag: str, path: Path | None) -> None:
    if path is not None and not path.expanduser().exists():
        raise ConfigError(f"{flag} {path}: no such file")


def _refuse(flag: str, expected: str, got: object) -> None:
    raise ConfigError(f"{flag}: expected {expected}, got {got}")


def _raise(error: ConfigError) -> None:
    raise error
