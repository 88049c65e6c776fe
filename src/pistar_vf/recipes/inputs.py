"""Digests of what a run reads, so that a resumed run can tell whether it reads the same.

Nothing is decoded and no place is looked at: the same data may lie elsewhere. The settings say which columns and
cameras were meant; the digests, what was found there.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.questions.record_index import RecordIndex

_LENGTH = 16
"""Hexadecimal digits: what a person can compare, and no accident can make."""

Used = tuple[LeRobotDataset, Sequence[Episode], np.ndarray]
"""A dataset, the episodes of it that are read, and the labels of all of its frames."""


def digest_inputs(
    used: Sequence[Used],
    cameras: Mapping[str, str | None],
    statistics: StateStatistics | None,
    tokenizer_digest: str,
) -> dict[str, str]:
    """What a run reads, to a digest of it.

    Args:
        used: the datasets to train on, and the one to validate on.
        cameras: model-side camera name to feature.
        statistics: of the robot state; None for a model without state.
        tokenizer_digest: of the tokenizer.
    """
    return {
        "cameras": ", ".join(f"{name} = {key}" for name, key in sorted(cameras.items())),
        "frames": _digest(_frames(dataset, episodes, cameras) for dataset, episodes, _ in used),
        "labels": _digest(_rows(labels.astype(np.float32), episodes) for _, episodes, labels in used),
        "prompts": _digest(_prompts(dataset, episodes) for dataset, episodes, _ in used),
        "state_statistics": _digest([] if statistics is None else [str((statistics.mean, statistics.std))]),
        "tokenizer": tokenizer_digest[:_LENGTH],
    }


def digest_questions(index: RecordIndex) -> str:
    """Which questions are asked, and which of them are held out."""
    return _digest([index.sample.tobytes(), index.turn.tobytes(), index.held_out.tobytes()])


def _frames(dataset: LeRobotDataset, episodes: Sequence[Episode], cameras: Mapping[str, str | None]) -> str:
    """Length and content of every episode, and the sizes of its videos, bytes."""
    keys = [key for _, key in sorted(cameras.items()) if key in dataset.video_keys]
    facts = [
        (episode.length, dataset.content_digests.get(episode.index), [_size(dataset, episode, key) for key in keys])
        for episode in episodes
    ]
    return json.dumps(facts)


def _size(dataset: LeRobotDataset, episode: Episode, key: str) -> int:
    path: Path = dataset.video_path(episode, key)
    return path.stat().st_size if path.is_file() else 0


def _prompts(dataset: LeRobotDataset, episodes: Sequence[Episode]) -> bytes:
    """The prompt of every frame, by its words."""
    words = np.array([hashlib.sha256(prompt.encode()).digest()[:8] for prompt in dataset.prompts])
    return words[dataset.prompt_index()[EpisodeRows(episodes).all()]].tobytes()


def _rows(values: np.ndarray, episodes: Sequence[Episode]) -> bytes:
    return values[EpisodeRows(episodes).all()].tobytes()


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:_LENGTH]
