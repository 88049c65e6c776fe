"""Opening a dataset of which some parts are damaged."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pistar_vf.errors import DatasetError
from pistar_vf.health.findings import Findings
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.metadata import read_info
from pistar_vf.lerobot.parquet import open_parquet
from pistar_vf.progress import progress_bar
from pistar_vf.video.remux import read_packet_table

RESTORE = "restore the file, or leave the episode out"


def open_for_check(root: Path, findings: Findings, progress: bool) -> LeRobotDataset | None:
    """Opens a dataset, or those of its episodes that can be read.

    Args:
        root: the dataset's folder.
        findings: gets what is wrong.
        progress: shows a progress bar on stderr.

    Returns:
        The dataset; of a damaged v2.1 dataset, the episodes that have rows, with as many frames as rows; None of a
        damaged v3.0 dataset, whose parts mean nothing without its metadata.

    Raises:
        DatasetError: `meta/info.json` is missing or unreadable: nothing can be said at all.
    """
    info = read_info(root)
    try:
        return load_lerobot(root)
    except DatasetError as error:
        findings.error("loading", f"the dataset is refused: {error}", "repair this first: nothing can be trained on it")
    dataset = None if info["codebase_version"] == v30.CODEBASE_VERSION else _open_v21(root, info, findings)
    if dataset is None:
        _scan_files(root, findings, progress)
    return dataset


def _open_v21(root: Path, info: Mapping[str, Any], findings: Findings) -> LeRobotDataset | None:
    try:
        episodes = tuple(_readable_episodes(root, info, findings))
    except DatasetError:  # in the metadata, and already reported
        return None
    try:
        tasks = v21.read_tasks(root)
    except DatasetError as error:
        findings.error("tasks", str(error), "restore the file: without it nobody knows the prompts")
        tasks = {}
    if not episodes:
        return None
    schemas = {episode.parquet: _schema(episode.parquet) for episode in episodes}
    return LeRobotDataset.of_parts(root, info, tasks, episodes, schemas)


def _readable_episodes(root: Path, info: Mapping[str, Any], findings: Findings) -> Iterator[Episode]:
    """Episodes with at least one row; each starts where it would if all were as long as stated."""
    start, seen = 0, set()
    for entry in sorted(v21.read_entries(root), key=lambda entry: entry["episode_index"]):
        index, length = entry["episode_index"], entry["length"]
        path = v21.episode_path(info["data_path"], root, index, info["chunks_size"])
        rows = _count_rows(path, index, findings)
        if index in seen:
            findings.error("episode list", "listed twice", f"remove a line of {v21.EPISODES_META}", episode=index)
        elif rows is not None:
            if rows != length:
                problem = f"expected {length} rows ({v21.EPISODES_META}), got {rows}"
                advice = "the table and the metadata are from different versions of the dataset: restore one of them"
                findings.error("episode length", problem, advice, file=path, episode=index)
            if rows:
                yield Episode(index, rows, start, tuple(entry.get("tasks", ())), path, entry)
        seen.add(index)
        start += length


def _count_rows(path: Path, index: int, findings: Findings) -> int | None:
    try:
        with open_parquet(path) as file:
            return file.metadata.num_rows
    except DatasetError as error:
        findings.error("table", str(error), RESTORE, file=path, episode=index)
        return None


def _schema(path: Path) -> pa.Schema:
    with open_parquet(path) as file:
        return file.schema_arrow


def _scan_files(root: Path, findings: Findings, progress: bool) -> None:
    """Looks at every table and video on its own, without knowing what should be in it."""
    paths = [*sorted(root.glob("data/**/*.parquet")), *sorted(root.glob("videos/**/*.mp4"))]
    for path in progress_bar(paths, desc="looking at files", unit=" files", disable=not progress):
        try:
            if path.suffix == ".mp4":
                read_packet_table(path, "video")
            else:
                open_parquet(path).close()
        except DatasetError as error:
            findings.error("file", str(error), RESTORE, file=path)
