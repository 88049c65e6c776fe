"""What a run will read, known before a frame is decoded; everything that is wrong with it is named at once."""

import dataclasses
import logging
from collections.abc import Sequence

import jax
import numpy as np

from pistar_vf.frames.feature_table import FeatureTable, HiddenTable, WholeFrames
from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.mixture import join_targets, place
from pistar_vf.frames.open_table import FrameSource
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.labels.targets import Targets
from pistar_vf.labels.value_labels import TargetSummary, describe_targets
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.lerobot.row_rules import require_sound_rows
from pistar_vf.messages import DATASET_SIZE, LOCAL_BATCH_SIZE
from pistar_vf.models.sizes import SIGLIP_VARIANTS, lookup, pooled_side
from pistar_vf.questions.language_table import LanguageTable
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.data_plan import DataPlan, Validation, digest_plan, open_training
from pistar_vf.recipes.lambda_returns import Ends
from pistar_vf.recipes.language import open_language_table, vqa_texts
from pistar_vf.recipes.mixture import common_cameras, state_statistics
from pistar_vf.recipes.preflight import check_flags, resume_folder
from pistar_vf.recipes.problems import Problems
from pistar_vf.recipes.settings_file import check_settings
from pistar_vf.recipes.split import split_dataset
from pistar_vf.recipes.start import check_start
from pistar_vf.recipes.targets import check_timeouts, ends_of_training, training_targets
from pistar_vf.recipes.towers import create_tokenizer, model_image_size
from pistar_vf.recipes.validation_data import plan_validation
from pistar_vf.tokenizer import PromptTokenizer

_log = logging.getLogger(__name__)


def plan_data(config: TrainConfig, num_processes: int = 1) -> DataPlan:
    """Opens and checks the data of a run.

    Args:
        config: the run.
        num_processes: that share a batch, for the log.

    Raises:
        PistarError: anything about flags, folders or data that would make training meaningless; where there is more
            than one problem, all of them.
    """
    problems = check_flags(config)
    problems.attempt(check_start, config)
    opened = [problems.attempt(open_training, config, path) for path in config.data.data_dirs]
    datasets = tuple(dataset for dataset in opened if dataset is not None)
    # Without prompts there is nothing to train one on: that would be one problem told as two.
    tokenizer = problems.attempt(_tokenizer, config, datasets) if datasets else None
    if len(datasets) < len(opened):
        problems.refuse()
    _log.info(LOCAL_BATCH_SIZE.format(size=config.batch_size // num_processes))
    _log.info(DATASET_SIZE.format(frames=sum(dataset.num_frames for dataset in datasets)))
    parts = _Parts(config, datasets, tokenizer, problems)
    problems.refuse()
    print(parts.summary())
    return parts.plan()


class _Parts:
    """The parts of a plan, each as far as those before it allow."""

    def __init__(
        self,
        config: TrainConfig,
        datasets: tuple[LeRobotDataset, ...],
        tokenizer: PromptTokenizer | None,
        problems: Problems,
    ):
        self._config, self._datasets, self._tokenizer, self._problems = config, datasets, tokenizer, problems
        attempt = problems.attempt
        for dataset in datasets:
            attempt(require_sound_rows, dataset)
        self._cameras = attempt(common_cameras, config, datasets)
        self._places = place(datasets)
        own = attempt(training_targets, config, datasets) or []
        self._targets = attempt(join_targets, own, self._places, config.data.data_dirs) if own else None
        splits = [attempt(split_dataset, config, dataset, each) for dataset, each in zip(datasets, own)]
        self._splits = tuple(split for split in splits if split is not None)
        self._statistics: StateStatistics | None = None
        self._validation: Validation | None = None
        self._ends: Ends | None = None
        self._language: LanguageTable | None = None
        if tokenizer is not None:
            for dataset in datasets:
                attempt(tokenizer.tokenize_many, dataset.prompts)
            self._language = attempt(_language_table, config, tokenizer, self._cameras or {})
        if self._targets is not None and len(self._splits) == len(datasets):
            self._of_a_split(self._targets)

    def _of_a_split(self, targets: Targets) -> None:
        """What needs to know who is trained on."""
        config, attempt = self._config, self._problems.attempt
        self._statistics = attempt(state_statistics, config, self._datasets, [split.train for split in self._splits])
        self._train_parts = tuple(EpisodeRows(p.of(split.train)) for p, split in zip(self._places, self._splits))
        self._train_rows = EpisodeRows(episode for part in self._train_parts for episode in part.episodes)
        self._timeouts = targets.timeouts.among(self._train_rows.episodes)
        attempt(check_timeouts, config, self._timeouts, self._train_rows.episodes)
        self._ends = attempt(ends_of_training, config, self._datasets, self._places, targets, self._train_rows.episodes)
        held_out = [episode for p, split in zip(self._places, self._splits) for episode in p.of(split.val)]
        self._validation = attempt(plan_validation, config, targets, held_out, self._cameras or {})

    def summary(self) -> TargetSummary:
        """Of the training episodes, as if they were a dataset of their own."""
        targets, rows = self._targets, self._train_rows
        assert targets is not None, "only without problems"
        labels, known = targets.labels[rows.at(np.arange(len(rows)))], targets.outcomes
        ended = None if known is None else [known[episode.index] for episode in rows.episodes]
        return describe_targets(labels, rows.layout, ended)

    def plan(self) -> DataPlan:
        """All parts; only without problems.

        Raises:
            ConfigError: the run resumes one that read something else.
        """
        assert self._targets is not None
        assert self._cameras is not None
        assert self._tokenizer is not None
        plan = DataPlan(
            datasets=self._datasets,
            places=self._places,
            splits=self._splits,
            targets=self._targets,
            camera_keys=self._cameras,
            tokenizer=self._tokenizer,
            statistics=self._statistics,
            train_parts=self._train_parts,
            timeouts=self._timeouts,
            ends=self._ends,
            validation=self._validation,
            language=self._language,
            inputs={},
        )
        plan = dataclasses.replace(plan, inputs=digest_plan(plan))
        if (checkpoint := resume_folder(self._config.run)) is not None:
            check_settings(checkpoint, self._config, plan.inputs)
        return plan


def open_frames(
    config: TrainConfig, plan: DataPlan, dataset: LeRobotDataset, episodes: Sequence[Episode], labels: np.ndarray
) -> FrameTable | FeatureTable | HiddenTable:
    """The frames of some episodes of a planned dataset; decodes what is not in the cache.

    With `--cache_features` the pictures' place is for what the frozen tower makes of them, or the frozen model of whole
    frames, to be filled in.

    Raises:
        PistarError: a video is missing or damaged.
    """
    source = FrameSource(
        dataset,
        camera_keys=plan.camera_keys,
        image_size=model_image_size(config.model),
        image_fit=config.model.image_fit,
        tokenizer=plan.tokenizer,
        statistics=plan.statistics,
        labels=labels,
        cache_dir=config.data.cache_dir,
        num_workers=config.run.num_workers,
        progress=jax.process_index() == 0,
    )
    table = source.table(episodes)
    if not config.data.cache_features:
        return table
    pictures = source.pictures(table, episodes)
    if config.optimizer.freeze_mode == "all_but_head":
        digests = {name: own.digest for name, own in pictures.items()}
        return HiddenTable(WholeFrames(table, dataset.episodes, tuple(episodes), digests))
    tower = lookup(SIGLIP_VARIANTS, config.model.siglip_variant, "--siglip_variant")
    sized = dataclasses.replace(tower, image_size=model_image_size(config.model))
    num_tokens = pooled_side(sized, config.model.image_pool) ** 2
    return FeatureTable(table, pictures, (num_tokens, sized.width))


def _language_table(
    config: TrainConfig, tokenizer: PromptTokenizer, camera_keys: dict[str, str | None]
) -> LanguageTable | None:
    if config.questions.vqa is None:
        return None
    return open_language_table(
        config.questions.vqa,
        tokenizer,
        cameras=tuple(sorted(camera_keys)),
        image_size=model_image_size(config.model),
        image_fit=config.model.image_fit,
        seed=config.run.seed,
    )


def _tokenizer(config: TrainConfig, datasets: Sequence[LeRobotDataset]) -> PromptTokenizer:
    prompts = tuple(dict.fromkeys(prompt for dataset in datasets for prompt in dataset.prompts))
    named = config.model.tokenizer_path is not None
    return create_tokenizer(
        config.model,
        config.model.max_token_len,
        prompts,
        lambda: prompts + vqa_texts(config.questions.vqa),
        checkpoint=None if named else resume_folder(config.run),
    )
