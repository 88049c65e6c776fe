"""The statistics of every episode, wherever a layout keeps them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.metadata import read_jsonl
from pistar_vf.lerobot.parquet import read_column_names, read_parquet_table

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
        for line in read_jsonl(root / v21.STATS_META, ("episode_index", "stats")):
            yield line["episode_index"], line["stats"]


def _of_columns(root: Path) -> Iterator[tuple[int, EpisodeStats]]:
    for path in v30.episode_files(root):
        names = [name for name in read_column_names(path) if name.startswith(_PREFIX)]
        for batch in read_parquet_table(path, ["episode_index", *names]).to_batches(_EPISODES_AT_ONCE):
            for row in batch.to_pylist():
                stats = _nested(row)
                if stats:
                    yield row["episode_index"], stats


def _nested(row: dict[str, Any]) -> EpisodeStats:
    """`stats/<feature>/<kind>` as {feature: {kind: value}}."""
    stats: EpisodeStats = {}
    for name, value in row.items():
        if name.startswith(_PREFIX) and value is not None:
            feature, _, kind = name.removeprefix(_PREFIX).rpartition("/")
            stats.setdefault(feature, {})[kind] = value
    return stats
