"""What a run takes from the hub: addresses with a commit, what is missing, and which commit everything is of."""

import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pistar_vf.errors import PistarError
from pistar_vf.hub.address import HubAddress, is_hub_address, parse_hub_address
from pistar_vf.hub.client import download
from pistar_vf.hub.revision import commit_of
from pistar_vf.labels.split import parse_episodes
from pistar_vf.lerobot.episode import ALL_EPISODES, EpisodeChoice
from pistar_vf.lerobot.metadata import find_dataset
from pistar_vf.questions.resolve import find_vqa_data
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.preflight import check_flags
from pistar_vf.recipes.problems import Problems
from pistar_vf.recipes.start import refuse_random_start
from pistar_vf.tokenizer import resolve_tokenizer
from pistar_vf.weights.bundle import pretrained_paths

C = TypeVar("C", TrainConfig, AlignmentConfig)
_log = logging.getLogger(__name__)


def pinned(config: C) -> C:
    """The same run with the commit in every `hf://` of its datasets, so that all of it reads the same files.

    An address that cannot be looked up stays as it is: the preflight says why.
    """
    if not isinstance(config, TrainConfig):
        return config
    data, val = config.data.data_dir, config.data.val_data_dir
    data_commit = tuple(map(_pin, data)) if isinstance(data, tuple) else _pin(data)
    val_commit = val and _pin(val)
    if (data_commit, val_commit) == (data, val):
        return config
    return config.replace(data_dir=data_commit, val_data_dir=val_commit)


def _pin(data_dir: str) -> str:
    if not is_hub_address(data_dir):
        return data_dir
    try:
        address = parse_hub_address(data_dir, "--data_dir")
        return data_dir if address.is_pinned else str(HubAddress(address.repository, find_dataset(data_dir).name))
    except PistarError:
        return data_dir


def check_with_downloads(config: C) -> Problems:
    """What is wrong with a run's flags and files, after `--download` has downloaded what it could.

    One download may bring what another was for, as the bundle has a tokenizer: after each, all is looked at again.
    """
    problems, failed, tried = check_flags(config), Problems(), set()
    failed.attempt(refuse_random_start, config)
    refused = bool(failed)  # no gigabytes would cure it
    while (
        config.run.download
        and not refused
        and (wanted := [files for files in problems.downloads if files not in tried])
    ):
        tried.add(wanted[0])
        _log.info("downloading: %s", wanted[0].line())
        failed.attempt(download, wanted[0])
        problems = check_flags(config)
    problems.extend(failed)
    return problems


def choice_of(config: TrainConfig, data_dir: str) -> EpisodeChoice:
    """Which episodes of a dataset to open: of one on the hub, those that the flags name; of a folder, all."""
    if not is_hub_address(data_dir) or config.train_episodes is None:
        return ALL_EPISODES
    named = {*parse_episodes(config.train_episodes, "--train_episodes")}
    if config.val_episodes is not None:
        named |= {*parse_episodes(config.val_episodes, "--val_episodes")}
    return EpisodeChoice(only=tuple(sorted(named)))


def revisions_of(config: TrainConfig | AlignmentConfig) -> dict[str, str]:
    """Every place that the run reads from the hub's copies, to their commit; for `settings.json`."""
    found = {}
    for place in _places(config):
        try:
            path = place()
        except PistarError:  # it is not there, which whoever needs it says
            continue
        if (commit := commit_of(path)) is not None:
            found[str(path)] = commit
    return found


def _places(config: TrainConfig | AlignmentConfig) -> Iterator[Callable[[], Path]]:
    vqa = config.questions.vqa if isinstance(config, TrainConfig) else config.vqa
    if isinstance(config, TrainConfig):
        for data_dir in (*config.data.data_dirs, config.data.val_data_dir):
            if data_dir is not None:
                yield functools.partial(find_dataset, data_dir)
    if vqa is not None:
        yield functools.partial(find_vqa_data, vqa.data, vqa.subset)
    source = getattr(config.start, "source", None)
    if source is not None:
        try:
            paths = pretrained_paths(source, config.start.pretrained_path, config.model.tokenizer_path)
        except PistarError:
            paths = []
        yield from (functools.partial(Path, path) for path in paths)
    yield functools.partial(resolve_tokenizer, config.model.tokenizer_path)
