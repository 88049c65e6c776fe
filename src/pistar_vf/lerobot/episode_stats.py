"""The statistics of every episode, wherever a layout keeps them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.metadata import read_jsonl
from pistar_vf.lerobot.parquet import read_column_names, read_parquet_table
from pistar_vf.lerobot.typed_values import is_missing, mapping, shown, whole_number

_PREFIX = "stats/"
_EPISODES_AT_ONCE = 256

EpisodeStats = dict[str, dict[str, Any]]
"""Feature to kind (min, max, mean, std, count, perhaps quantiles) to nested lists."""


def read_episode_stats(root: Path, version: str) -> Iterator[tuple[int, EpisodeStats]]:
    """Yields (episode index, statistics) in the order of the files; nothing where a v2.1 dataset keeps none.

    Args:
        root: the dataset's folder.
        version: of its layout.

    Raises:
        DatasetError: the file is damaged.
    """
    if version == v30.CODEBASE_VERSION:
        yield from _of_columns(root)
    elif (root / v21.STATS_META).is_file():
        for where, line in read_jsonl(root / v21.STATS_META, ("episode_index", "stats")):
            yield whole_number(line["episode_index"], where, "episode_index"), typed_stats(line["stats"], where)


def _of_columns(root: Path) -> Iterator[tuple[int, EpisodeStats]]:
    for path in v30.episode_files(root):
        names = [name for name in read_column_names(path) if name.startswith(_PREFIX)]
        for batch in read_parquet_table(path, ["episode_index", *names]).to_batches(_EPISODES_AT_ONCE):
            for row in batch.to_pylist():
                stats = _nested(row)
                if stats:
                    yield whole_number(row["episode_index"], str(path), "episode_index"), typed_stats(stats, str(path))


def typed_stats(stats: Any, where: str) -> EpisodeStats:
    """Statistics whose numbers are numbers; kinds that are null are left out.

    Raises:
        DatasetError: something else stands where an object or numbers belong; names the feature and the kind.
    """
    typed: EpisodeStats = {}
    for feature, kinds in mapping(stats, where, "stats").items():
        key = f"stats.{feature}"
        typed[feature] = {
            kind: _numbers(values, where, f"{key}.{kind}")
            for kind, values in mapping(kinds, where, key).items()
            if not is_missing(values)
        }
    return typed


def _numbers(values: Any, where: str, key: str) -> Any:
    """Numbers or nested lists of numbers of one shape, as they are."""
    try:
        kind = np.asarray(values).dtype.kind
    except ValueError:
        kind = "O"
    if kind not in "biuf":
        raise DatasetError(f"{where}: key '{key}': expected numbers, got {shown(values)}; remove or correct it")
    return values


def _nested(row: dict[str, Any]) -> EpisodeStats:
    """`stats/<feature>/<kind>` as {feature: {kind: value}}."""
    stats: EpisodeStats = {}
    for name, value in row.items():
        if name.startswith(_PREFIX) and value is not None:
            feature, _, kind = name.removeprefix(_PREFIX).rpartition("/")
            stats.setdefault(feature, {})[kind] = value
    return stats
