"""What a merged dataset will hold, decided and checked before anything is written."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pistar_vf.curation.merge.index_tables import IndexTable, join_index_tables
from pistar_vf.curation.merge.sources import Source
from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.lerobot.cameras import axis_names
from pistar_vf.lerobot.v21 import INDEX_COLUMNS

_MISSING, _FILLED = "missing", "filled"
_NUM_NAMES = 3  # shown of two datasets that name the dimensions of a vector differently


@dataclasses.dataclass(frozen=True)
class MergeOptions:
    """How to make datasets fit together.

    Attributes:
        fill: `name=value`: what a column is in datasets that lack it.
        drop: columns and cameras to leave out.
        rename: `2:old=new`: renames a column or camera of the second dataset.
    """

    fill: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    rename: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class MergePlan:
    """What is going to be written.

    Attributes:
        sources: in the order of the result.
        features: name to the entry of `meta/info.json`.
        columns: of the tables, in their order.
        fills: column to what it is in datasets that lack it, a NumPy scalar of the column's type.
        tasks: the prompts; the position is the `task_index`.
        index_tables: further columns of numbers that stand for rows of a table in `meta/`, such as `subtask_index`.
    """

    sources: tuple[Source, ...]
    features: dict[str, Mapping[str, Any]]
    columns: tuple[str, ...]
    fills: dict[str, np.generic]
    tasks: tuple[str, ...]
    index_tables: Mapping[str, IndexTable]

    @property
    def video_keys(self) -> tuple[str, ...]:
        """The cameras stored as video."""
        return tuple(name for name, feature in self.features.items() if feature.get("dtype") == "video")


def plan_merge(sources: Sequence[Source], options: MergeOptions) -> MergePlan:
    """Decides what the result holds.

    Raises:
        ConfigError: an option has no effect or cannot be carried out.
        DatasetError: the datasets do not fit together; shows a table of the differences.
    """
    features: dict[str, Mapping[str, Any]] = {}
    for source in sources:
        features = {**source.features, **features}
    _check_drop(sources, options.drop)
    # The order of the first dataset; what only others have comes last.
    order = dict.fromkeys(name for source in sources for name in (*source.features, *source.columns))
    names = [name for name in order if name not in options.drop]
    fills = _parse_fills(sources, features, options)
    _check_fit(sources, names, fills)
    columns = dict.fromkeys(name for source in sources for name in source.columns if name in names)
    return MergePlan(
        sources=tuple(sources),
        features={name: features[name] for name in names if name in features},
        columns=tuple(columns),
        fills=fills,
        index_tables=join_index_tables(sources, tuple(columns)),
        tasks=tuple(dict.fromkeys(text for source in sources for _, text in sorted(source.dataset.tasks.items()))),
    )


def _check_drop(sources: Sequence[Source], drop: Sequence[str]) -> None:
    known = {name for source in sources for name in (*source.features, *source.columns)} - set(INDEX_COLUMNS)
    for name in drop:
        if name not in known:
            raise ConfigError(
                f"--drop {name}: expected a column or camera that is not an index, one of {', '.join(sorted(known))}"
            )


def _parse_fills(
    sources: Sequence[Source], features: Mapping[str, Mapping[str, Any]], options: MergeOptions
) -> dict[str, np.generic]:
    fills = {}
    for text in options.fill:
        name, equals, value = text.partition("=")
        having = [source for source in sources if name in source.columns]
        complete = [source for source in having if not source.lacking(name)]
        if not equals or name in options.drop or not having or len(complete) == len(sources) or name not in features:
            raise ConfigError(
                f"--fill {text}: expected <column>=<value> with a column that some datasets or files have and others "
                f"lack, got one that {len(having)} of {len(sources)} have"
            )
        fills[name] = _parse_value(features[name]["dtype"], value, text)
    return fills


def _parse_value(dtype: str, value: str, text: str) -> np.generic:
    if dtype == "string":
        return np.str_(value)
    if dtype == "bool" and value.lower() in ("true", "false", "1", "0"):
        return np.bool_(value.lower() in ("true", "1"))
    try:
        number = np.float64(value)
        converted = number.astype(dtype)
        # 0.5 or -1 in a column that cannot hold it.
        if dtype != "bool" and (converted == number or np.dtype(dtype).kind == "f"):
            return converted
    except (ValueError, TypeError):
        pass
    raise ConfigError(f"--fill {text}: expected a value of type {dtype}, got {value!r}")


def _check_fit(sources: Sequence[Source], names: Sequence[str], fills: Mapping[str, np.generic]) -> None:
    """Refuses datasets that differ, with all differences in one table: a row each, a column per dataset."""
    for name in names:
        _check_complete(sources, name, fills)
    rows = {"fps": [f"{source.dataset.fps:g}" for source in sources]}
    for name in names:
        cells = [_describe(source, name) for source in sources]
        rows[name] = [_FILLED if name in fills and cell == _MISSING else cell for cell in cells]
        if not _is_camera(sources[0], name):
            axes = [axis_names(source.features.get(name, {}).get("names")) for source in sources]
            rows[f"{name} (names)"] = _different_names(axes)
    different = {name: cells for name, cells in rows.items() if len(set(cells) - {_FILLED, ""}) > 1}
    if not different:
        return
    header = ["", *(f"{i}: {source.label}" for i, source in enumerate(sources, start=1))]
    lines = [header, *([name, *cells] for name, cells in different.items())]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    table = "\n".join("  " + "  ".join(f"{c:<{w}}" for c, w in zip(line, widths)).rstrip() for line in lines)
    raise DatasetError(
        f"expected the same columns, cameras and fps in every dataset, got\n{table}\n"
        "give what is missing a value (--fill intervention=1), leave a column or camera out everywhere (--drop NAME), "
        "or rename it in one dataset (--rename 2:old=new)"
    )


def _check_complete(sources: Sequence[Source], name: str, fills: Mapping[str, np.generic]) -> None:
    """Refuses a column that only some files of a dataset have, unless it is known what it is in the others."""
    for source in sources if name not in fills else ():
        if lacking := source.lacking(name):
            raise DatasetError(
                f"{lacking[0]}: expected the column '{name}', which other files of {source.dataset.root} have, got "
                f"none ({len(lacking)} files lack it); say what it is there (--fill {name}=0), or leave the column out "
                f"(--drop {name})"
            )


def _different_names(axes: Sequence[Sequence[str]]) -> list[str]:
    """The first dimensions that are not called the same everywhere; "" for a dataset that names none."""
    named = [names for names in axes if names]
    places = [i for i, names in enumerate(zip(*named)) if len(set(names)) > 1]
    return [", ".join(f"{i} {names[i]}" for i in places[:_NUM_NAMES]) if names else "" for names in axes]


def _is_camera(source: Source, name: str) -> bool:
    return source.old_name(name) in source.dataset.picture_keys


def _describe(source: Source, name: str) -> str:
    if name not in source.columns and source.old_name(name) not in source.dataset.video_keys:
        return _MISSING
    if name not in source.features:
        return "not in meta/info.json"
    feature = source.features[name]
    if _is_camera(source, name):
        if (why := source.dataset.why_no_camera(source.old_name(name))) is not None:
            return f"{feature['dtype']} {list(feature.get('shape', ()))}, {why}"
        height, width = source.dataset.image_size(source.old_name(name))
        return f"{feature['dtype']} {height}x{width}"
    return f"{feature['dtype']} {list(feature.get('shape', ()))}"
