"""A labelled dataset of a few frames with the documented camera names, to see that the fork's own scripts run."""

import dataclasses
from pathlib import Path

import numpy as np

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.testing.demo_dataset import FPS, GOALS, create_episode, demo_behaviour
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21
from pistar_vf.tokenizer import train_prompt_tokenizer

_CAMERAS = ("observation.images.head_camera", "observation.images.left_wrist_camera")
_NUM_EPISODES, _NUM_FRAMES, _IMAGE_SIZE = 2, 5, 48


def write_probe_dataset(folder: Path) -> tuple[Path, Path]:
    """Writes a v2.1 dataset with the five RECAP columns, pictures in its tables, and a tokenizer of its prompts.

    Args:
        folder: receives both.

    Returns:
        The dataset's folder, and the tokenizer's file.
    """
    episodes = [_episode(index) for index in range(_NUM_EPISODES)]
    raw = load_lerobot(write_lerobot_v21(folder / "raw", episodes, fps=FPS, storage="image"))
    outcomes = read_outcomes(raw, outcome_column="outcome")
    labelled = write_labelled_copy(raw, folder / "labelled", outcomes, timeout_as="failure", progress=False)
    tokenizer = folder / "tokenizer.model"
    tokenizer.write_bytes(train_prompt_tokenizer([prompt for each in episodes for prompt in each.tasks]).model)
    return labelled, tokenizer


def _episode(index: int) -> EpisodeData:
    episode = create_episode(GOALS[index], demo_behaviour(index), np.random.default_rng(index), _IMAGE_SIZE)
    images = zip(_CAMERAS, episode.images.values(), strict=True)
    return dataclasses.replace(
        episode,
        columns={name: rows[:_NUM_FRAMES] for name, rows in episode.columns.items()},
        images={name: frames[:_NUM_FRAMES] for name, frames in images},
    )
