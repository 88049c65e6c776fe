"""A report from settings to a file."""

import json
import logging
from pathlib import Path

import numpy as np

from pistar_vf.changes.staging import check_file
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.health import HealthReport, check_dataset
from pistar_vf.labels.outcomes import outcomes_of_flags
from pistar_vf.labels.split import parse_episodes, select_episodes
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.overview.config import ReportConfig
from pistar_vf.overview.recorded import Recorded, read_recorded
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.judgement import judge
from pistar_vf.relabel.page import create_page
from pistar_vf.report.choose import Ranking, by_disagreement, choose, in_words
from pistar_vf.report.clips import episode_clips
from pistar_vf.report.content import Details, Page, Section
from pistar_vf.report.dataset import dataset_section
from pistar_vf.report.episodes import Episode
from pistar_vf.report.page import write_page
from pistar_vf.report.training import runs_of, training_section

_log = logging.getLogger(__name__)


def run_report(config: ReportConfig, *, progress: bool = True) -> Path:
    """Writes the report.

    Returns:
        The HTML file.

    Raises:
        PistarError: anything a user can put right; nothing was written.
    """
    if config.num_episodes < 1:
        raise ConfigError(f"--num_episodes: expected at least 1, got {config.num_episodes}")
    check_file(config.output, "--output")
    dataset = load_lerobot(config.data_dir, read_ahead=())
    positions = _named(config, dataset)
    health = check_dataset(config.data_dir, progress=progress)
    page = _judged(config, health, positions, progress) if config.run and config.labels is None else None
    return write_page(page or _recorded(config, dataset, health, positions), config.output)


def _named(config: ReportConfig, dataset: LeRobotDataset) -> list[int] | None:
    if config.episodes is None:
        return None
    named = select_episodes(dataset.episodes, parse_episodes(config.episodes, "--episodes"), "--episodes")
    return [dataset.episodes.index(episode) for episode in named]


def _judged(config: ReportConfig, health: HealthReport, positions: list[int] | None, progress: bool) -> Page | None:
    """With values and the gate; None where nobody knows how the episodes ended."""
    settings = {**vars(config.outcomes), **vars(config.scoring)}
    # `force` is for looking at any model: nothing is written here.
    relabelling = RelabelConfig.of(
        data_dir=config.data_dir, checkpoint_dir=(config.run,), dry_run=True, force=True, **settings
    )
    try:
        found = judge(relabelling, progress=progress)
    except LabelError as error:
        _log.warning("neither values nor a verdict are shown: %s", error)
        return None
    return create_page(found, health, positions, config.num_episodes)


def _recorded(config: ReportConfig, dataset: LeRobotDataset, health: HealthReport, positions: list[int] | None) -> Page:
    """What is there without a model."""
    found = read_recorded(dataset, config.labels)
    ranking = _ranking(dataset, found)
    chosen = choose(ranking, config.num_episodes) if positions is None else by_disagreement(ranking, positions)
    sections = [dataset_section(dataset, health)]
    if config.run is not None:
        sections.append(training_section(runs_of([*sorted(config.run.glob("fold_*")), config.run])))
    if found.provenance:
        text = json.dumps(found.provenance, indent=2, ensure_ascii=False)
        sections.append(Section("What made the labels", (Details("Settings", text),)))
    return Page(
        title=dataset.name,
        verdict=None,
        chosen=in_words(len(chosen), len(dataset.episodes), positions is not None),
        episodes=_episodes(config, dataset, found, ranking, chosen),
        sections=tuple(sections),
    )


def _ranking(dataset: LeRobotDataset, found: Recorded) -> Ranking:
    unknown = np.full(len(dataset.episodes), np.nan)
    off = None if found.value is None or found.target is None else np.abs(found.value - found.target)
    return Ranking(
        disagreement=unknown if off is None else dataset.layout.mean(off),
        score=unknown if found.advantage is None else dataset.layout.mean(found.advantage),
        unseen=np.ones(len(unknown), bool),
    )


def _episodes(
    config: ReportConfig, dataset: LeRobotDataset, found: Recorded, ranking: Ranking, chosen: np.ndarray
) -> tuple[Episode, ...]:
    outcomes = outcomes_of_flags(dataset, config) or {}
    prompt_index = dataset.prompt_index()
    episodes = []
    for position in chosen:
        episode = dataset.episodes[position]
        own, prompt = slice(episode.start, episode.start + episode.length), dataset.prompts[prompt_index[episode.start]]
        episodes.append(
            Episode(
                index=episode.index,
                prompt=prompt,
                outcome=str(outcomes.get(episode.index) or episode.metadata.get("outcome") or "outcome unknown"),
                note="",
                fps=dataset.fps,
                clips=episode_clips(dataset, episode, len(chosen)),
                intervention=found.intervention[own],
                value=None if found.value is None else found.value[own],
                target=None if found.target is None else found.target[own],
                labels=found.labels_of(own, prompt),
                disagreement=float(ranking.disagreement[position]),
            )
        )
    return tuple(episodes)
