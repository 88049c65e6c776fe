"""From settings to data: the planned frames, decoded, as one table, and what must be remembered about them."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pistar_vf.checkpoints.provenance import TrainedOn
from pistar_vf.frames.feature_table import FeatureTable, HiddenTable
from pistar_vf.frames.loader import Frames
from pistar_vf.frames.mixture import JoinedTable, name_rows
from pistar_vf.labels.targets import Targets
from pistar_vf.labels.timeouts import Timeouts
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.questions.language_table import LanguageTable
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.lambda_returns import Ends
from pistar_vf.recipes.plan import open_frames, plan_data
from pistar_vf.recipes.split import Split, record_data
from pistar_vf.tokenizer import PromptTokenizer


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Everything a run reads, and the facts its checkpoints must carry.

    Attributes:
        table: frames of the training dataset, or of several as one.
        train_rows: frames to train on.
        train_parts: the same by dataset.
        val_table: frames of the validation dataset; the same object as `table` when episodes are held out of it.
        val_rows: held-out frames, None without validation.
        camera_keys: model-side camera name to feature.
        tokenizer: of the prompts.
        targets: of the training dataset: what the table's labels are, and what scaled them.
        timeouts: training episodes that were cut off; their labels in `table` are NaN until V fills them in.
        ends: see `DataPlan`.
        language: questions to train on besides; None for none.
        prompts: of the training episodes.
        trained_on: which episodes of which datasets are used for what.
        name_rows: rows of `table` as datasets, episodes and frames, for an error.
        inputs: what is read, to a digest of it.
        features: tables among these that want what frozen parts of the model make of them before anything is gathered
            from them.
    """

    table: Frames
    train_rows: EpisodeRows
    train_parts: tuple[EpisodeRows, ...]
    val_table: Frames
    val_rows: EpisodeRows | None
    camera_keys: dict[str, str | None]
    tokenizer: PromptTokenizer
    targets: Targets
    timeouts: Timeouts
    ends: Ends | None
    language: LanguageTable | None
    prompts: tuple[str, ...]
    trained_on: TrainedOn
    name_rows: Callable[[np.ndarray], str]
    inputs: dict[str, str]
    features: tuple[FeatureTable | HiddenTable, ...] = ()


def prepare_data(config: TrainConfig, num_processes: int = 1) -> TrainingData:
    """Opens, checks and decodes the data of a run.

    Args:
        config: the run.
        num_processes: see `plan_data`.

    Raises:
        PistarError: see `plan_data`; and a video that cannot be decoded.
    """
    plan = plan_data(config, num_processes)
    tables = [
        open_frames(config, plan, dataset, _in_use(config, split), own)
        for dataset, split, own in zip(plan.datasets, plan.splits, plan.labels, strict=True)
    ]
    table = tables[0] if len(tables) == 1 else JoinedTable(tables, plan.targets.labels)
    val_table, looked_at = table, None
    if plan.validation is not None and plan.validation.dataset is not None:
        dataset, rows = plan.validation.dataset, plan.validation.rows
        val_table = open_frames(config, plan, dataset, dataset.episodes, plan.validation.targets.labels)
        looked_at = (dataset, rows.episodes)
    return TrainingData(
        table=table,
        train_rows=plan.train_rows,
        train_parts=plan.train_parts,
        val_table=val_table,
        val_rows=None if plan.validation is None else plan.validation.rows,
        camera_keys=plan.camera_keys,
        tokenizer=plan.tokenizer,
        targets=plan.targets,
        timeouts=plan.timeouts,
        ends=plan.ends,
        language=plan.language,
        prompts=_training_prompts(plan.datasets, plan.splits),
        trained_on=record_data(config, plan.datasets, plan.splits, looked_at),
        name_rows=lambda rows: name_rows(plan.datasets, plan.places, rows),
        inputs=plan.inputs,
        features=_unique([own for own in (*tables, val_table) if isinstance(own, FeatureTable | HiddenTable)]),
    )


def _training_prompts(datasets: Sequence[LeRobotDataset], splits: Sequence[Split]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for dataset, split in zip(datasets, splits, strict=True):
        index = dataset.prompt_index()
        for episode in split.train:
            own = np.unique(index[episode.start : episode.start + episode.length])
            found |= dict.fromkeys(dataset.prompts[number] for number in own)
    return tuple(sorted(found))


def _unique(tables: Sequence[FeatureTable | HiddenTable]) -> tuple[FeatureTable | HiddenTable, ...]:
    """The validation table may be the training table."""
    return tuple({id(table): table for table in tables}.values())


def _in_use(config: TrainConfig, split: Split) -> tuple[Episode, ...]:
    """The episodes whose frames are read."""
    chosen = {*split.train, *split.val} if config.run.val_interval > 0 else set(split.train)
    return tuple(sorted(chosen, key=lambda episode: episode.start))
