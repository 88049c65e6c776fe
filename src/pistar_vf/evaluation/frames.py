"""The frames that are evaluated, and the four predictors that are scored on them."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.evaluation.baselines import state_tree_baseline
from pistar_vf.evaluation.empirical import at_frames, clock_distributions, constant_distribution
from pistar_vf.evaluation.episode_scores import EpisodeScores
from pistar_vf.evaluation.fitted_on import FittedOn, read_states
from pistar_vf.evaluation.frame_scores import score_logits, score_probs, score_values
from pistar_vf.evaluation.source import Source
from pistar_vf.frames.shards import iterate_shards
from pistar_vf.inference.predict import FramePredictor, frame_source
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.typing import Float

_GROUP_FRAMES = 16_384
_TREE_FRAMES = 200_000


@dataclasses.dataclass(frozen=True)
class EvaluatedFrames:
    """Every n-th frame of some episodes, with what they are worth.

    Attributes:
        dataset: all of its episodes.
        episodes: those to evaluate, in the dataset's order, none of them a time-out or a fragment.
        labels: targets of all frames of the dataset.
        strata: outcome and task of every episode of the dataset, by index.
        support: of the values.
        frame_skip: n.
    """

    dataset: LeRobotDataset
    episodes: tuple[Episode, ...]
    labels: Float[np.ndarray, " t"]
    strata: dict[int, tuple[str, str]]
    support: Support
    frame_skip: int = 1

    def indices(self, episode: Episode) -> np.ndarray:
        """Frame indices of an episode."""
        return np.arange(0, episode.length, self.frame_skip)

    def rows(self, episodes: tuple[Episode, ...]) -> np.ndarray:
        """Dataset rows of some episodes' frames."""
        return np.concatenate([episode.start + self.indices(episode) for episode in episodes])

    def score(self, episodes: tuple[Episode, ...], frames: dict[str, np.ndarray]) -> EpisodeScores:
        """Scores of predictions for the frames of some episodes."""
        lengths = np.array([len(self.indices(episode)) for episode in episodes], np.int64)
        succeeded = np.array([self.strata[episode.index][0] == "success" for episode in episodes])
        tasks = [self.strata[episode.index][1] for episode in episodes]
        return EpisodeScores.of_frames(
            frames, self.labels[self.rows(episodes)], lengths, succeeded, self.support, tasks
        )

    def groups(self) -> Iterator[tuple[Episode, ...]]:
        """The episodes, some thousand frames at a time."""
        group: list[Episode] = []
        size = 0
        for episode in self.episodes:
            if group and size + episode.length > _GROUP_FRAMES:
                yield tuple(group)
                group, size = [], 0
            group.append(episode)
            size += episode.length
        yield tuple(group)


def score_model(
    source: Source,
    frames: EvaluatedFrames,
    blank_cameras: bool = False,
    *,
    batch_size: int,
    cache_dir: Path | None,
    num_workers: int | None,
    advance: Callable[[int], Any],
) -> tuple[EpisodeScores, dict[str, EpisodeScores]]:
    """The value model, a few thousand frames in memory at a time; `advance` is told how many are done.

    Returns:
        Its scores, and with `blank_cameras` those with one camera's pictures black, by the camera's feature.
    """
    predictor = FramePredictor(source.predictor, batch_size, score_logits)
    opened = frame_source(
        source.predictor, source.dataset, labels=frames.labels, cache_dir=cache_dir, num_workers=num_workers
    )
    cameras = {key: name for name, key in source.predictor.spec.camera_keys.items() if key and blank_cameras}
    seen: list[EpisodeScores] = []
    dark: dict[str, list[EpisodeScores]] = {key: [] for key in cameras}
    for shard in iterate_shards(opened, frames.episodes):
        rows = frames.rows(shard.episodes)
        seen.append(frames.score(shard.episodes, predictor.metrics(shard.table, rows)))
        for key, found in dark.items():
            table = shard.table.without_light(cameras[key])
            found.append(frames.score(shard.episodes, predictor.metrics(table, rows)))
        advance(len(rows))
    return EpisodeScores.concatenate(seen), {key: EpisodeScores.concatenate(found) for key, found in dark.items()}


def score_constant(frames: EvaluatedFrames, fitted_on: FittedOn) -> EpisodeScores:
    """The distribution of the training targets, whatever the frame."""
    probs = constant_distribution(fitted_on.targets(), frames.support)

    def predict(episodes: tuple[Episode, ...]) -> np.ndarray:
        return np.broadcast_to(probs, (len(frames.rows(episodes)), len(probs)))

    return _score_distributions(frames, predict)


def score_clock(frames: EvaluatedFrames, fitted_on: FittedOn) -> EpisodeScores:
    """The distribution of the training targets of the same task at the same frame index."""
    prior = constant_distribution(fitted_on.targets(), frames.support)

    @functools.lru_cache(maxsize=32)  # one for each of thousands of tasks would not fit into memory
    def of_task(task: str) -> np.ndarray:
        return clock_distributions(fitted_on.targets(task), prior, frames.support)

    def predict(episodes: tuple[Episode, ...]) -> np.ndarray:
        return np.concatenate([at_frames(of_task(frames.strata[e.index][1]), frames.indices(e)) for e in episodes])

    return _score_distributions(frames, predict)


def score_trees(frames: EvaluatedFrames, fitted_on: FittedOn, state_key: str) -> EpisodeScores:
    """Boosted trees on single frames' states, fitted on at most 200,000 training frames, evenly spaced.

    Raises:
        ConfigError: scikit-learn is not installed, or one of the datasets has no such state.
    """
    own = read_states(frames.dataset, frames.episodes, state_key)
    state = read_states(fitted_on.dataset, fitted_on.episodes, state_key)
    target = np.concatenate(fitted_on.targets())
    every = -(-len(target) // _TREE_FRAMES)
    kept = np.concatenate([np.arange(episode.length) % frames.frame_skip == 0 for episode in frames.episodes])
    value = state_tree_baseline(state[::every], target[::every], own[kept])
    return frames.score(frames.episodes, score_values(value))


def _score_distributions(
    frames: EvaluatedFrames, predict: Callable[[tuple[Episode, ...]], np.ndarray]
) -> EpisodeScores:
    atoms = np.linspace(frames.support.v_min, frames.support.v_max, frames.support.num_atoms)
    scores = []
    for episodes in frames.groups():
        probs = predict(episodes)
        found = score_probs(probs, frames.labels[frames.rows(episodes)], frames.support)
        scores.append(frames.score(episodes, {**found, "value": probs @ atoms}))
    return EpisodeScores.concatenate(scores)
