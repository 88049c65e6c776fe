"""V of a sample of episodes through a camera that trembles: do labels repeat where there is no second model?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pistar_vf.episode_layout import evenly_spread
from pistar_vf.frames.shards import iterate_shards
from pistar_vf.frames.trembling import TremblingFrames
from pistar_vf.inference.predict import FramePredictor, frame_source
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.relabel.evidence import SecondLook
from pistar_vf.relabel.models import ScoringModel
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool, Int

EPISODES_OF_A_KIND = 8
"""Of each task, at most so many successes and as many failures are looked at again."""


def sample_episodes(rollouts: Rollouts, seen: Bool[np.ndarray, " e"]) -> Int[np.ndarray, " k"]:
    """Positions of the episodes to look at again, evenly spread over those that the gate judges by.

    Args:
        rollouts: all episodes.
        seen: those that the model which scored them was trained on.
    """
    task = rollouts.task[rollouts.layout.starts]
    usable = ~seen & ~rollouts.layout.all(rollouts.intervention)
    chosen = []
    for number in np.unique(task):
        for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            own = np.flatnonzero(usable & (task == number) & rollouts.outcome_is(outcome))
            chosen.extend(own[evenly_spread(len(own), EPISODES_OF_A_KIND)])
    return np.sort(np.array(chosen, int))


def look_again(
    dataset: LeRobotDataset,
    models: Sequence[ScoringModel],
    camera_keys: dict[str, str | None],
    folder: Path,
    episodes: Sequence[Episode],
    *,
    batch_size: int = 8,
    cache_dir: Path | None = None,
    num_workers: int | None = None,
) -> SecondLook:
    """Values of some episodes as a trembling camera shows them, from `folder` or computed and kept there.

    Args:
        dataset: all of its episodes.
        models: who scores which episodes.
        camera_keys: model-side camera name to feature.
        folder: one file per episode; its name must change with the models and the frames.
        episodes: those wanted.
        batch_size: frames per device and call.
        cache_dir: of decoded frames.
        num_workers: decoding processes.

    Raises:
        PistarError: a video is missing or damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [episode for episode in episodes if not _file(folder, episode).is_file()]
    for model in models:
        mine = [episode for episode in missing if episode.index in model.episodes]
        if not mine:
            continue
        frame_predictor = FramePredictor(model.predictor, batch_size)
        source = frame_source(
            model.predictor, dataset, camera_keys=camera_keys, cache_dir=cache_dir, num_workers=num_workers
        )
        for shard in iterate_shards(source, mine):
            scored = frame_predictor.values(TremblingFrames(shard.table), shard.rows)
            value = np.concatenate([value for value, _ in scored])
            for episode in shard.episodes:
                first = episode.start - shard.episodes[0].start
                _keep(_file(folder, episode), value[first : first + episode.length])
    found = np.full(dataset.num_frames, np.nan, np.float32)
    for episode in episodes:
        found[episode.start : episode.start + episode.length] = np.load(_file(folder, episode))
    return SecondLook(found, "another view")


def _file(folder: Path, episode: Episode) -> Path:
    return folder / f"{episode.index:06d}.npy"


def _keep(path: Path, value: np.ndarray) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, value)
    partial.rename(path)
