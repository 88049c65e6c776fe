"""Statistics of a dataset from those of its episodes, and new ones in the place of old."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.errors import DatasetError
from pistar_vf.foreign_files import read_text
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.metadata import read_jsonl
from pistar_vf.lerobot.parquet import read_parquet_table
from pistar_vf.lerobot.typed_values import mapping, shown, whole_number

Stats = Mapping[str, Mapping[str, Any]]
"""Feature to min, max, mean, std and count, as nested lists; others, such as quantiles, may be there too."""

_JOINED = frozenset(("min", "max", "mean", "std", "count"))


def aggregate_stats(episodes: Sequence[Stats]) -> dict[str, dict[str, Any]]:
    """Minimum, maximum, mean, standard deviation and count of each feature over all episodes that have them.

    Exact (up to rounding) for the frames that the episodes' own numbers were measured on. Quantiles are left out:
    those of a whole do not follow from those of its parts.

    Raises:
        DatasetError: the numbers of a feature are of several shapes, or a count is none; names feature and place.

    References:
        Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance", 1983 (joining variances).
    """
    features = dict.fromkeys(name for stats in episodes for name in stats if _is_complete(stats[name]))
    parts = {name: [stats[name] for stats in episodes if _is_complete(stats.get(name, {}))] for name in features}
    return {name: _join(kinds, name) for name, kinds in parts.items()}


def _is_complete(kinds: Mapping[str, Any]) -> bool:
    return kinds.keys() >= _JOINED


def _join(parts: list[Mapping[str, Any]], feature: str) -> dict[str, Any]:
    _check_joinable(parts, feature)
    mean, std = (np.array([part[name] for part in parts], np.float64) for name in ("mean", "std"))
    count = np.array([part["count"] for part in parts])
    weight = count.reshape(len(parts), *[1] * (mean.ndim - 1)) / count.sum()
    total_mean = (weight * mean).sum(0)
    variance = (weight * (std**2 + (mean - total_mean) ** 2)).sum(0)
    return {
        "min": np.array([part["min"] for part in parts]).min(0).tolist(),
        "max": np.array([part["max"] for part in parts]).max(0).tolist(),
        "mean": total_mean.tolist(),
        "std": np.sqrt(variance).tolist(),
        "count": count.sum(0).tolist(),
    }


def _check_joinable(parts: list[Mapping[str, Any]], feature: str) -> None:
    advice = (
        "correct them in meta/episodes_stats.jsonl (v2.1) or the tables of meta/episodes (v3.0), or remove this "
        "feature's: LeRobot computes them anew"
    )
    shapes = {np.shape(part[kind]) for part in parts for kind in _JOINED - {"count"}}
    if len(shapes) > 1:
        found = " and ".join(map(str, sorted(shapes)))
        raise DatasetError(f"statistics of '{feature}': expected numbers of one shape, got {found}; {advice}")
    for count in (part["count"] for part in parts):
        if np.size(count) != 1 or not np.min(count) > 0:
            raise DatasetError(f"statistics of '{feature}': expected one count above 0, got {shown(count)}; {advice}")


def stats_files(dataset: LeRobotDataset) -> list[Path]:
    """The files that hold statistics, those that are there."""
    if dataset.version == v30.CODEBASE_VERSION:
        files = [*v30.episode_files(dataset.root), dataset.root / v30.STATS_PATH]
    else:
        files = [dataset.root / v21.STATS_META]
    return [path for path in files if path.is_file()]


def replace_stats(dataset: LeRobotDataset, copy: Path, features: Collection[str], stats: Mapping[int, Stats]) -> None:
    """Writes the statistics of a copy: those of the source, but of some features new ones.

    Args:
        dataset: the source.
        copy: root of the copy, in which the files of `stats_files` are written.
        features: whose old statistics are left out.
        stats: episode index to new ones.
    """
    for path in stats_files(dataset):
        target = copy / path.relative_to(dataset.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jsonl":
            _replace_lines(path, target, features, stats)
        elif path.suffix == ".json":
            kept = _without(_read(path), features)
            v21.write_json(target, kept | aggregate_stats(list(stats.values())))
        else:
            _replace_columns(path, target, features, stats)


def _read(path: Path) -> dict[str, Any]:
    """Statistics of a whole dataset.

    Raises:
        DatasetError: the file holds something else.
    """
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{path}: not valid JSON ({error}); restore the file, or delete it: LeRobot computes it anew"
        ) from error
    return dict(mapping(content, str(path), "the whole file"))


def _replace_lines(source: Path, target: Path, features: Collection[str], stats: Mapping[int, Stats]) -> None:
    """Lines about episodes that the dataset does not list are left out."""
    with target.open("w", encoding="utf-8") as new:
        for where, line in read_jsonl(source, ("episode_index", "stats")):
            index = whole_number(line["episode_index"], where, "episode_index")
            if index in stats:
                kept = _without(mapping(line["stats"], where, "stats"), features)
                new.write(v21.json_line({**line, "episode_index": index, "stats": {**kept, **stats[index]}}))


def _replace_columns(source: Path, target: Path, features: Collection[str], stats: Mapping[int, Stats]) -> None:
    table = read_parquet_table(source)
    old = [name for name in table.column_names if name.startswith(tuple(f"stats/{feature}/" for feature in features))]
    table = table.drop_columns(old)
    own = [stats[index] for index in table["episode_index"].to_pylist()]
    names = dict.fromkeys((feature, kind) for row in own for feature in row for kind in row[feature])
    for feature, kind in names:
        values = pa.array([row.get(feature, {}).get(kind) for row in own])
        table = table.append_column(f"stats/{feature}/{kind}", values)
    pq.write_table(table, target)


def _without(stats: Stats, features: Collection[str]) -> dict[str, Any]:
    return {feature: kinds for feature, kinds in stats.items() if feature not in features}
