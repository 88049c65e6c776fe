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
from pistar_vf.lerobot.parquet import ParquetScan, scan_parquet, to_numpy

_log = logging.getLogger(__name__)

STATE_COLUMNS = ("observation.state", "state")
_COLUMNS = {"state": STATE_COLUMNS, "action": ("action", "actions")}
_DIGITS = 32


def content_columns(columns: Sequence[str]) -> dict[str, str]:
    """Which of a file's columns the digests cover: "state" and "action" to a column, each where it has one."""
    found = {role: next((name for name in names if name in columns), None) for role, names in _COLUMNS.items()}
    return {role: name for role, name in found.items() if name is not None}


def content_digests(files: Mapping[Path, Sequence[Episode]]) -> dict[int, str]:
    """The digest of every episode, in one pass over the tables with one file in memory at a time.

    Args:
        files: the dataset's parquet files, and the episodes in each.

    Returns:
        Episode index to digest, of those with state or action; empty where their values cannot be read.
    """
    digests: dict[int, str] = {}
    for path, episodes in files.items():
        scan = scan_parquet(path, (), lambda schema: content_columns(schema.names).values())
        found = file_digests(path, scan, {e.index: (e.first_row, e.length) for e in episodes})
        if found is None:
            return {}
        digests |= found
    return digests


def file_digests(path: Path, scan: ParquetScan, episodes: Mapping[int, tuple[int, int]]) -> dict[int, str] | None:
    """The digests of a file's episodes; None where their content cannot be read, which is logged.

    Args:
        path: the file.
        scan: its columns, those of `content_columns` among them.
        episodes: index to first row and number of rows.
    """
    roles = content_columns(scan.schema.names)
    if not roles:
        return {}
    try:
        values = {
            role: np.asarray(to_numpy(scan.columns[name], 0, f"{path}: column '{name}'"), "<f4")
            for role, name in roles.items()
        }
    except (DatasetError, KeyError, ValueError) as error:
        problem = f"{path}: column {error} cannot be read" if isinstance(error, KeyError) else error
        _log.warning("episodes are known by their numbers alone, as their content cannot be read: %s", problem)
        return None
    return {
        index: episode_digest({role: column[first : first + length] for role, column in values.items()})
        for index, (first, length) in episodes.items()
    }


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
