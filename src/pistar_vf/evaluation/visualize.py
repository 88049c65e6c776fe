"""Pictures and videos of episodes from settings to files, and a report in which to look at them."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pistar_vf.checkpoints.provenance import seen_episodes
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
from pistar_vf.progress import progress_bar
from pistar_vf.report.choose import in_words
from pistar_vf.report.clips import episode_clips
from pistar_vf.report.content import Page
from pistar_vf.report.dataset import dataset_section
from pistar_vf.report.episodes import Episode as ShownEpisode
from pistar_vf.report.episodes import distribution_strip
from pistar_vf.report.page import write_page
from pistar_vf.report.training import runs_of, training_section
from pistar_vf.returns import Outcome

_log = logging.getLogger(__name__)

_VIDEO_SIDE = 384


def run_visualize(config: VisualizeConfig, *, progress: bool = True) -> Path:
    """Draws the episodes that the flags mean.

    Returns:
        The report.html beside the pictures.

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
    shown = []
    with progress_bar(total=len(episodes), desc="drawing", unit=" episodes", disable=not progress) as bar:
        for shard in iterate_shards(frames, episodes):
            for episode in shard.episodes:
                shown.append(drawing.draw(shard, episode, predictor, len(episodes)))
                bar.update(1)
    return write_page(_page(source, shown), drawing.folder / "report.html")


def _page(source: Source, shown: list[ShownEpisode]) -> Page:
    disagreement = np.array([episode.disagreement for episode in shown])
    return Page(
        title=f"{source.dataset.name}: value over time",
        verdict=None,
        chosen=in_words(len(shown), len(source.dataset.episodes), named=True),
        episodes=tuple(shown[position] for position in np.argsort(-disagreement, kind="stable")),
        sections=(training_section(runs_of([source.checkpoint])), dataset_section(source.dataset, None)),
    )


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
        self._seen = seen_episodes(source.predictor.spec.trained_on, source.dataset)
        self.folder = config.output_dir or Path("value_curves") / source.dataset.name
        self._intervention = _intervention(source.dataset, config.intervention_column)

    def draw(self, shard: Shard, episode: Episode, predictor: FramePredictor, num_episodes: int) -> ShownEpisode:
        """Makes the files of an episode, and what the report shows of it; `num_episodes` share the report."""
        view = self._view(shard, episode, predictor)
        name = f"episode_{episode.index:06d}"
        draw_episode(view, self._pictures(shard, episode), self.folder / f"{name}.png")
        if self._video:
            frames = _camera_frames(self._source.dataset, episode, self._cameras())
            write_episode_video(view, frames, self._source.dataset.fps, self.folder / f"{name}.mp4")
        return self._shown(view, episode, num_episodes)

    def _shown(self, view: EpisodeView, episode: Episode, num_episodes: int) -> ShownEpisode:
        dataset, support = self._source.dataset, view.support
        off = np.nan if view.target is None else float(np.abs(view.value - view.target).mean())
        return ShownEpisode(
            index=episode.index,
            prompt=self._prompt(episode),
            outcome=str(self._outcome(episode) or "outcome unknown"),
            note="the model was trained on it" if episode.index in self._seen else "not seen in training",
            fps=dataset.fps,
            clips=episode_clips(dataset, episode, num_episodes),
            intervention=view.intervention,
            value=view.value,
            strip=distribution_strip(view.probs),
            value_range=(support.v_min, support.v_max),
            target=view.target,
            disagreement=off,
        )

    def _outcome(self, episode: Episode) -> Outcome | None:
        known = None if self._targets is None else self._targets.outcomes
        return None if known is None else known[episode.index]

    def _prompt(self, episode: Episode) -> str:
        dataset = self._source.dataset
        return dataset.prompts[dataset.prompt_index()[episode.start]]

    def _view(self, shard: Shard, episode: Episode, predictor: FramePredictor) -> EpisodeView:
        own = slice(episode.start, episode.start + episode.length)
        found = list(predictor.values(shard.table, np.arange(own.start, own.stop)))
        target = None if self._targets is None else self._targets.labels[own]
        known = target is not None and bool(np.isfinite(target).all())
        title = f"episode {episode.index}: “{self._prompt(episode)}”"
        if (outcome := self._outcome(episode)) is not None:
            title += f" ({outcome})"
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
