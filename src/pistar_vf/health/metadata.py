"""What `meta/` says about the whole dataset, against what is there."""

import shlex
from typing import Any

import pyarrow as pa

from pistar_vf.errors import DatasetError
from pistar_vf.frames.open_table import STATE_COLUMN
from pistar_vf.health.findings import Findings, Place
from pistar_vf.health.tables import severity_of
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode_stats import read_episode_stats
from pistar_vf.lerobot.metadata import read_info

_STATS_ADVICE = "training a policy with LeRobot needs them; `pistar-vf` does not"


def check_metadata(dataset: LeRobotDataset, findings: Findings) -> None:
    """Compares totals, features and statistics with the tables."""
    _check_totals(dataset, read_info(dataset.root), findings)
    _check_features(dataset, findings)
    _check_stats(dataset, findings)


def _check_totals(dataset: LeRobotDataset, info: dict[str, Any], findings: Findings) -> None:
    totals = {
        "total_episodes": len(dataset.episodes),
        "total_frames": dataset.num_frames,
        "total_tasks": len(dataset.tasks),
    }
    for name, count in totals.items():
        if info.get(name) not in (None, count):
            findings.warning("totals", f"expected {count}, got {info[name]}", "correct meta/info.json", key=name)
    last = dataset.episodes[-1].index
    if last + 1 != len(dataset.episodes):
        problem = f"{len(dataset.episodes)} episodes, but the last has the number {last}"
        findings.note("numbers of episodes", problem, "LeRobot wants no gaps: `pistar-vf merge` numbers them anew")


def _check_features(dataset: LeRobotDataset, findings: Findings) -> None:
    path, types = dataset.episodes[0].parquet, dataset.schema.types
    stored = {name for name in dataset.features if name not in dataset.video_keys}
    for name in sorted(stored - set(types)):
        problem = "meta/info.json describes a column that the tables do not have"
        advice = "remove the feature, or restore the column: LeRobot refuses such tables"
        findings.warning("features", problem, advice, key=name, file=path)
    for name in (name for name in types if name not in dataset.features):
        problem = "the tables have a column that meta/info.json does not describe"
        findings.warning("features", problem, "describe it: LeRobot refuses such tables", key=name, file=path)
    for name in (name for name in types if name in stored and name not in dataset.picture_keys):
        found, stated = _number_type(types[name]), dataset.features[name]["dtype"]
        if found != stated and (v21.is_numeric(dataset.features[name]) or stated == "string"):
            problem = f"expected {stated} (meta/info.json), got {found}"
            findings.warning("features", problem, "correct meta/info.json", key=name, file=path)
    _check_complete(dataset, findings)
    _check_needed(dataset, findings)


def _check_complete(dataset: LeRobotDataset, findings: Findings) -> None:
    """Columns that only some files have: what they are in the others, only their owner knows."""
    num_files = len(dataset.files())
    for name in dataset.schema.lacking:
        report = findings.error if severity_of(dataset, name) == "error" else findings.warning
        problem = f"the column '{name}' is not in every file: {dataset.schema.describe_partial(name, num_files)}"
        merge = f"pistar-vf merge {shlex.quote(str(dataset.root))} --fill {name}=0 --output_dir <new folder>"
        advice = f"say what it is there: `{merge}`"
        report("partial column", problem, advice, key=name, file=dataset.schema.lacking[name][0])


def _check_needed(dataset: LeRobotDataset, findings: Findings) -> None:
    """Columns without which training stops, and those that LeRobot writes."""
    place: Place = {"file": dataset.episodes[0].parquet}
    for name in (name for name in v21.INDEX_COLUMNS if name not in dataset.columns):
        report = findings.error if name == "task_index" else findings.warning
        problem = f"expected the column '{name}', which LeRobot writes, got none"
        report("index columns", problem, "`pistar-vf repair` writes it into a copy", key=name, **place)
    if STATE_COLUMN not in dataset.columns:
        problem = f"no state column '{STATE_COLUMN}': training stops without it"
        findings.error("state", problem, "pass --state_key, or --state_encoding none", key=STATE_COLUMN, **place)


def _number_type(kind: pa.DataType) -> str:
    """What `meta/info.json` calls the elements of a column."""
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    names = {"double": "float64", "float": "float32", "halffloat": "float16", "large_string": "string"}
    return names.get(str(kind), str(kind))


def _check_stats(dataset: LeRobotDataset, findings: Findings) -> None:
    if dataset.version == "v2.0" and (dataset.root / v30.STATS_PATH).is_file():
        return  # of the whole dataset only
    numeric = {
        name for name, feature in dataset.features.items() if name in dataset.picture_keys or v21.is_numeric(feature)
    }
    listed: set[int] = set()
    lacking: set[str] = set()
    try:
        for index, stats in read_episode_stats(dataset.root, dataset.version):
            listed.add(index)
            lacking |= numeric - stats.keys()
    except DatasetError as error:
        findings.warning("statistics", str(error), _STATS_ADVICE)
        return
    source = v30.EPISODES_META if dataset.version == v30.CODEBASE_VERSION else v21.STATS_META
    missing = [episode.index for episode in dataset.episodes if episode.index not in listed]
    if missing:
        problem = f"{source}: no statistics of {len(missing)} episodes, the first is {missing[0]}"
        findings.warning("statistics", problem, _STATS_ADVICE, episode=missing[0])
    for name in sorted(lacking):
        findings.warning("statistics", f"{source}: some episodes have none of this feature", _STATS_ADVICE, key=name)
    if dataset.version == v30.CODEBASE_VERSION and not (dataset.root / v30.STATS_PATH).is_file():
        findings.warning("statistics", f"no {v30.STATS_PATH}", _STATS_ADVICE)
