"""What a run will read: datasets, targets, cameras, prompts and states, with nothing decoded."""

import dataclasses

import numpy as np

from pistar_vf.frames.mixture import Place
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.labels.targets import Targets
from pistar_vf.labels.timeouts import Timeouts
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode import ALL_EPISODES, EpisodeChoice
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.questions.language_table import LanguageTable
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.from_hub import choice_of
from pistar_vf.recipes.inputs import Used, digest_inputs, digest_questions
from pistar_vf.recipes.lambda_returns import Ends
from pistar_vf.recipes.split import Split
from pistar_vf.tokenizer import PromptTokenizer


@dataclasses.dataclass(frozen=True)
class Validation:
    """What is validated on.

    Attributes:
        dataset: the one of --val_data_dir; None where episodes are held out of the training data.
        targets: of it, or of the training data.
        rows: frames to look at.
    """

    dataset: LeRobotDataset | None
    targets: Targets
    rows: EpisodeRows


@dataclasses.dataclass(frozen=True)
class DataPlan:
    """The data of a run, opened and checked, with nothing decoded.

    Attributes:
        datasets: to train on.
        places: where each is among all.
        splits: of each.
        targets: of all of them, one after another.
        camera_keys: model-side camera name to feature.
        tokenizer: of the prompts.
        statistics: of the robot state; None for a model without state.
        train_parts: frames to train on, by dataset.
        timeouts: training episodes that were cut off.
        ends: of the training episodes, for λ-returns; None where targets are what the episodes came to.
        validation: None for none.
        language: questions to train on besides; None for none.
        inputs: what is read, to a digest of it.
    """

    datasets: tuple[LeRobotDataset, ...]
    places: tuple[Place, ...]
    splits: tuple[Split, ...]
    targets: Targets
    camera_keys: dict[str, str | None]
    tokenizer: PromptTokenizer
    statistics: StateStatistics | None
    train_parts: tuple[EpisodeRows, ...]
    timeouts: Timeouts
    ends: Ends | None
    validation: Validation | None
    language: LanguageTable | None
    inputs: dict[str, str]

    @property
    def train_rows(self) -> EpisodeRows:
        """Frames to train on, of all datasets."""
        return EpisodeRows(episode for part in self.train_parts for episode in part.episodes)

    @property
    def labels(self) -> list[np.ndarray]:
        """Value labels of each dataset."""
        return np.split(self.targets.labels, [own.first_row for own in self.places[1:]])


def open_training(config: TrainConfig, data_dir: str) -> LeRobotDataset:
    """One of the datasets to train on; of one on the hub, the episodes that the flags name."""
    return open_dataset(config, data_dir, choice_of(config, data_dir))


def open_dataset(config: TrainConfig, data_dir: str, choice: EpisodeChoice = ALL_EPISODES) -> LeRobotDataset:
    """A dataset as the run's settings read it: prompts, and the state with the first columns."""
    return load_lerobot(data_dir, config.inputs.prompt_column, choice, read_ahead=(config.inputs.state_key,))


def digest_plan(plan: DataPlan) -> dict[str, str]:
    """What a planned run reads, each with a digest of it."""
    parts = list(zip(plan.datasets, plan.splits, plan.labels))
    used: list[Used] = [(dataset, split.train, own) for dataset, split, own in parts]
    used += [(dataset, split.val, own) for dataset, split, own in parts if split.val]
    if plan.validation is not None and plan.validation.dataset is not None:
        used.append((plan.validation.dataset, plan.validation.rows.episodes, plan.validation.targets.labels))
    inputs = digest_inputs(used, plan.camera_keys, plan.statistics, plan.tokenizer.digest)
    return inputs if plan.language is None else {**inputs, "questions": digest_questions(plan.language.index)}
