"""LeRobot v3.0 → v2.1: tables and videos split into one file an episode, metadata turned into lines of JSON."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pistar_vf.curation.split_videos import plan_split, write_split
from pistar_vf.lerobot import v21
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.episode_stats import read_episode_stats
from pistar_vf.lerobot.metadata import read_info
from pistar_vf.lerobot.parquet import read_parquet_table
from pistar_vf.progress import progress_bar


def write_v21(dataset: LeRobotDataset, folder: Path, *, reencode: bool, progress: bool) -> None:
    """Writes a v3.0 dataset in the v2.1 layout.

    Args:
        dataset: the source.
        folder: an empty folder.
        reencode: encodes anew those episodes that cannot be cut out of their video as they are.
        progress: shows progress bars on stderr.

    Raises:
        DatasetError: a file of the source is damaged.
        VideoError: a video is damaged, does not match its table, or cannot be cut without `reencode`.
    """
    plans = {key: plan_split(dataset, key, folder, reencode=reencode, progress=progress) for key in dataset.video_keys}
    for key, plan in plans.items():
        write_split(plan, fps=dataset.fps, desc=f"cutting {key}", progress=progress)
    _split_tables(dataset, folder, progress)
    _write_lines(folder / v21.TASKS_PATH, ({"task_index": i, "task": task} for i, task in dataset.tasks.items()))
    _write_lines(folder / v21.EPISODES_META, (dict(episode.metadata) for episode in dataset.episodes))
    _write_stats(dataset, folder / v21.STATS_META)
    _write_info(dataset, folder)


def _split_tables(dataset: LeRobotDataset, folder: Path, progress: bool) -> None:
    files: dict[Path, list[Episode]] = defaultdict(list)
    for episode in dataset.episodes:
        files[episode.parquet].append(episode)
    with progress_bar(
        total=len(dataset.episodes), desc="splitting tables", unit=" episodes", disable=not progress
    ) as bar:
        for path, episodes in files.items():
            table = read_parquet_table(path)
            for episode in episodes:
                target = v21.episode_path(v21.DATA_PATH, folder, episode.index, dataset.chunks_size)
                target.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(table.slice(episode.first_row, episode.length), target)
                bar.update()


def _write_lines(path: Path, lines: Iterator[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(v21.json_line(line) for line in lines)


def _write_stats(dataset: LeRobotDataset, path: Path) -> None:
    """One line an episode, where the dataset keeps statistics of its episodes."""
    listed = {episode.index for episode in dataset.episodes}
    stats = read_episode_stats(dataset.root, dataset.version)
    lines = ({"episode_index": index, "stats": own} for index, own in stats if index in listed and own)
    _write_lines(path, lines)
    if not path.stat().st_size:
        path.unlink()


def _write_info(dataset: LeRobotDataset, folder: Path) -> None:
    info = read_info(dataset.root)
    for name in ("data_files_size_in_mb", "video_files_size_in_mb"):
        info.pop(name, None)
    info |= {
        "codebase_version": v21.CODEBASE_VERSION,
        "total_episodes": len(dataset.episodes),
        "total_frames": dataset.num_frames,
        "total_videos": len(dataset.video_keys) * len(dataset.episodes),
        "total_chunks": dataset.episodes[-1].index // dataset.chunks_size + 1,
        "data_path": v21.DATA_PATH,
        "video_path": v21.VIDEO_PATH if dataset.video_template is not None else None,
    }
    v21.write_json(folder / "meta" / "info.json", info)
