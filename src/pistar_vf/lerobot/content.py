"""Digests of what episodes contain, the same in every copy of a dataset, whatever it is called and however numbered.

An episode's digest is the first 32 hexadecimal digits of the sha256 of, in this order:

1. the number of frames, in decimal ASCII, and a line feed;
2. for its state (`observation.state`, else `state`) and then its action (`action`, else `actions`), where the dataset
   has them: the word "state" or "action", the numbers per frame in decimal ASCII, a line feed, and all values of all
   frames in order as little-endian float32.

Pictures, prompts, labels, times and numbers of episodes do not enter it: converting, merging, labelling, relabelling,
renaming and renumbering keep it. Episodes without movement and of one length share a digest.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.parquet import read_parquet_columns

_log = logging.getLogger(__name__)

_COLUMNS = {"state": ("observation.state", "state"), "action": ("action", "actions")}
_DIGITS = 32


def content_columns(columns: Sequence[str]) -> dict[str, str]:
    """Which of a dataset's columns its digests cover: "state" and "action" to a column, each where it has one."""
    found = {role: next((name for name in names if name in columns), None) for role, names in _COLUMNS.items()}
    return {role: name for role, name in found.items() if name is not None}


def content_digests(files: Mapping[Path, Sequence[Episode]], columns: Sequence[str]) -> dict[int, str]:
    """The digest of every episode, in one pass over the tables with one file in memory at a time.

    Args:
        files: the dataset's parquet files, and the episodes in each.
        columns: the dataset's columns.

    Returns:
        Episode index to digest; empty where the dataset has neither state nor action, or their values cannot be read.
    """
    roles = content_columns(columns)
    if not roles:
        return {}
    digests: dict[int, str] = {}
    for path, episodes in files.items():
        try:
            found = read_parquet_columns(path, tuple(roles.values()))
            values = {role: np.asarray(found[name][0], "<f4") for role, name in roles.items()}
        except (DatasetError, ValueError) as error:
            _log.warning("episodes are known by their numbers alone, as their content cannot be read: %s", error)
            return {}
        for episode in episodes:
            rows = slice(episode.first_row, episode.first_row + episode.length)
            digests[episode.index] = episode_digest({role: column[rows] for role, column in values.items()})
    return digests


def episode_digest(values: Mapping[str, np.ndarray]) -> str:
    """The digest of one episode.

    Args:
        values: "state", "action" or both, in this order, to the values of all frames, [frames] or [frames, numbers].
    """
    digest = hashlib.sha256(f"{len(next(iter(values.values())))}\n".encode())
    for role, column in values.items():
        rows = np.ascontiguousarray(column, "<f4").reshape(len(column), -1)
        digest.update(f"{role}{rows.shape[1]}\n".encode())
        digest.update(rows.data)
    return digest.hexdigest()[:_DIGITS]
