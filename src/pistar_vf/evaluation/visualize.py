"""Pictures and videos of episodes from settings to files."""

import html
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm_loggable.auto import tqdm

from pistar_vf.drawing.episode_picture import EpisodeView, draw_episode, without_padding
from pistar_vf.drawing.episode_video import write_episode_video
from pistar_vf.episode_layout import evenly_spread
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.evaluation.config import VisualizeConfig
from pistar_vf.evaluation.parts import choose_part
from pistar_vf.evaluation.source import Source, evaluation_targets, open_source
from pistar_vf.frames.episode_decoder import decode_episode
from pistar_vf.frames.shards import Shard, iterate_shards
from pistar_vf.inference.predict import FramePredictor, frame_source
from pistar_vf.labels.split import parse_episodes, select_episodes
from pistar_vf.labels.targets import Targets
from pistar_vf.labels.value_labels import read_numbers
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset

_log = logging.getLogger(__name__)

_VIDEO_SIDE = 384


def run_visualize(config: VisualizeConfig, *, progress: bool = True) -> Path:
    """Draws the episodes that the flags mean.

    Returns:
        The index.html beside the pictures.

    Raises:
        PistarError: anything a user can put right.
    """
    source = open_source(config)
    dataset = source.dataset
    targets = _known_targets(config, source)
    episodes = _episodes(config, source, targets)
    drawing = _Drawing(config, source, targets)
    drawing.folder.mkdir(parents=True, exist_ok=True)
    predictor = FramePredictor(source.predictor, config.batch_size)
    frames = frame_source(source.predictor, dataset, cache_dir=config.cache_dir, num_workers=config.num_workers)
    entries = []
    with tqdm(total=len(episodes), desc="drawing", unit=" episodes", disable=not progress) as bar:
        for shard in iterate_shards(frames, episodes):
            for episode in shard.episodes:
                entries.append(drawing.draw(shard, episode, predictor))
                bar.update(1)
    return _write_index(drawing.folder / "index.html", f"{dataset.name}: value over time", entries)


def _known_targets(config: VisualizeConfig, source: Source) -> Targets | None:
    """None where the dataset does not say; the model's values can be looked at all the same."""
    try:
        return evaluation_targets(config, source.dataset, source.predictor.spec)
    except LabelError as error:
        _log.warning("no value labels are drawn: %s", error)
        return None


def _episodes(config: VisualizeConfig, source: Source, targets: Targets | None) -> tuple[Episode, ...]:
    if config.episodes is not None:
        return select_episodes(source.dataset.episodes, parse_episodes(config.episodes, "--episodes"), "--episodes")
    if config.num_episodes < 1:
        raise ConfigError(f"--num_episodes: expected at least 1, got {config.num_episodes}")
    part = choose_part(config, source.predictor.spec, source.dataset, targets).episodes
    return tuple(part[position] for position in evenly_spread(len(part), config.num_episodes))


class _Drawing:
    """Turns episodes into files.

    Args:
        config: the flags.
        source: the model and the dataset.
        targets: of the dataset, None where they are unknown.
    """

    def __init__(self, config: VisualizeConfig, source: Source, targets: Targets | None):
        self._source, self._targets = source, targets
        self._video = config.video
        self.folder = config.output_dir or Path("value_curves") / source.dataset.name
        self._intervention = _intervention(source.dataset, config.intervention_column)

    def draw(self, shard: Shard, episode: Episode, predictor: FramePredictor) -> tuple[str, list[str]]:
        """(title, names of the files made)."""
        view = self._view(shard, episode, predictor)
        name = f"episode_{episode.index:06d}"
        files = [draw_episode(view, self._pictures(shard, episode), self.folder / f"{name}.png").name]
        if self._video:
            frames = _camera_frames(self._source.dataset, episode, self._cameras())
            path = self.folder / f"{name}.mp4"
            files.append(write_episode_video(view, frames, self._source.dataset.fps, path).name)
        return view.title, files

    def _view(self, shard: Shard, episode: Episode, predictor: FramePredictor) -> EpisodeView:
        own = slice(episode.start, episode.start + episode.length)
        found = list(predictor.values(shard.table, np.arange(own.start, own.stop)))
        target = None if self._targets is None else self._targets.labels[own]
        prompt = self._source.dataset.prompts[shard.table.prompt_index[own.start]]
        title, known = f"episode {episode.index}: “{prompt}”", target is not None and bool(np.isfinite(target).all())
        if self._targets is not None and self._targets.outcomes is not None:
            title += f" ({self._targets.outcomes[episode.index]})"
        return EpisodeView(
            title=title,
            value=np.concatenate([value for value, _ in found]),
            probs=np.concatenate([probs for _, probs in found]),
            support=self._source.predictor.spec.model.support,
            target=target if known else None,
            intervention=self._intervention[own],
        )

    def _pictures(self, shard: Shard, episode: Episode) -> dict[str, np.ndarray]:
        """What the model sees, by the dataset's names of the cameras."""
        cropped = {}
        for name, key in self._cameras().items():
            pictures = shard.table.cameras[name]
            assert pictures is not None, "only cameras that the dataset has"
            frames = pictures[episode.start : episode.start + episode.length]
            padded = self._source.predictor.spec.image_fit == "pad"
            cropped[_short(key)] = without_padding(frames, *self._source.dataset.image_size(key)) if padded else frames
        return cropped

    def _cameras(self) -> dict[str, str]:
        return {name: key for name, key in self._source.predictor.spec.camera_keys.items() if key is not None}


def _intervention(dataset: LeRobotDataset, column: str) -> np.ndarray:
    if column not in dataset.columns:
        return np.zeros(dataset.num_frames, bool)
    return read_numbers(dataset, column) == 1


def _camera_frames(dataset: LeRobotDataset, episode: Episode, cameras: dict[str, str]) -> Iterator[list[np.ndarray]]:
    """The pictures of all cameras, frame by frame, larger than the model sees them."""
    streams = [decode_episode(dataset, episode, key, size=_VIDEO_SIDE, fit="pad") for key in cameras.values()]
    sizes = [dataset.image_size(key) for key in cameras.values()]
    for frames in zip(*streams, strict=True):
        yield [without_padding(frame, *size) for frame, size in zip(frames, sizes)]


def _short(key: str) -> str:
    return key.removeprefix("observation.images.")


def _write_index(path: Path, title: str, entries: list[tuple[str, list[str]]]) -> Path:
    parts = [
        f"<!doctype html>\n<meta charset='utf-8'>\n<title>{html.escape(title)}</title>\n<h1>{html.escape(title)}</h1>"
    ]
    for heading, files in entries:
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        for file in files:
            if file.endswith(".mp4"):
                parts.append(f"<video src='{file}' controls style='max-width:100%'></video>")
            else:
                parts.append(f"<img src='{file}' style='max-width:100%'>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")
    return path
