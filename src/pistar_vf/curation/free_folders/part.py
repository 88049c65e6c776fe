"""A part of a LeRobot dataset: the episodes whose files lie in a folder, perhaps with videos that lie elsewhere."""

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pistar_vf.changes.staging import files_below
from pistar_vf.curation.free_folders.videos import find_video
from pistar_vf.errors import DatasetError
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode import ALL_EPISODES, EpisodeChoice
from pistar_vf.lerobot.metadata import read_info, read_jsonl
from pistar_vf.lerobot.parquet import read_parquet_table

_STALE = ("info.json", "stats.json")
"""Of the whole dataset; the first is written anew."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Some episodes of a dataset.

    Attributes:
        dataset: the dataset, opened with these episodes alone.
        links: file of the dataset, relative to its root, to where it is.
        is_whole: nothing is left out, and every file is where the dataset says.
    """

    dataset: LeRobotDataset
    links: dict[Path, Path]
    is_whole: bool

    def facts(self) -> list[Any]:
        """Changes with whatever the written part depends on."""
        meta = self.dataset.root / "meta"
        read = [*(meta / name for name in files_below(meta)), *self.dataset.files()]
        return [stamps(read), sorted((str(name), str(target)) for name, target in self.links.items())]

    def write(self, copy: Path) -> None:
        """Writes the metadata of these episodes, and links to their files."""
        for name, target in self.links.items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).symlink_to(target)
        (copy / "meta").mkdir(exist_ok=True)
        self._write_info(copy)
        kept = {episode.index for episode in self.dataset.episodes}
        for name in files_below(self.dataset.root / "meta"):
            source, target = self.dataset.root / "meta" / name, copy / "meta" / name
            if name.as_posix() in _STALE:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if name.name in (Path(v21.EPISODES_META).name, Path(v21.STATS_META).name):
                _keep_lines(source, target, kept)
            elif name.parts[0] == Path(v30.EPISODES_META).name:
                _keep_rows(source, target, kept)
            else:
                shutil.copyfile(source, target)

    def _write_info(self, copy: Path) -> None:
        info = {key: value for key, value in read_info(self.dataset.root).items() if not key.startswith("total_")}
        count = len(self.dataset.episodes)
        info |= {"total_episodes": count, "total_frames": self.dataset.num_frames, "splits": {"train": f"0:{count}"}}
        v21.write_json(copy / "meta" / "info.json", info)


def stamps(paths: Iterable[Path]) -> list[tuple[str, int | None, int | None]]:
    """What of files changes with their content: path, size and time of the last change (None: a link to nowhere)."""
    found = [(path, path.stat() if path.exists() else None) for path in paths]
    return [(str(path), stat and stat.st_size, stat and stat.st_mtime_ns) for path, stat in found]


def find_part(root: Path, folder: Path, video_root: Path | None) -> Part:
    """The episodes of a dataset that a folder means.

    Args:
        root: the dataset's folder.
        folder: the dataset's own, or one inside it.
        video_root: where its videos are; None, or a folder inside the dataset, for where it says.

    Raises:
        DatasetError: no episode's file is there, a video is not, or the dataset is damaged.
    """
    dataset = _open(root, folder)
    links = {episode.parquet.relative_to(root): episode.parquet for episode in dataset.episodes}
    outside = video_root is not None and not video_root.is_relative_to(root)
    if outside or dataset.choice != ALL_EPISODES:
        links |= _video_links(dataset, video_root if outside else None)
    if video_root is not None and not outside:
        _check_inside(dataset, video_root)
    return Part(dataset, links, not outside and dataset.choice == ALL_EPISODES)


def _open(root: Path, folder: Path) -> LeRobotDataset:
    """The dataset with the episodes below the folder; v2.1 says in its metadata which these are."""
    info = read_info(root)
    if info["codebase_version"] == v30.CODEBASE_VERSION:
        files = {episode.index: episode.parquet for episode in load_lerobot(root).episodes}
    else:
        indices = [entry["episode_index"] for entry in v21.read_entries(root)]
        files = {i: v21.episode_path(info["data_path"], root, i, info["chunks_size"]) for i in indices}
    kept = tuple(index for index, path in files.items() if folder == root or path.resolve().is_relative_to(folder))
    if not kept:
        example = next(iter(files.values()), "none")
        raise DatasetError(
            f"--parquet_dir {folder}: expected a folder with parquet files of {root}, such as {example}; or the "
            "dataset's own folder"
        )
    return load_lerobot(root, choice=ALL_EPISODES if len(kept) == len(files) else EpisodeChoice(only=kept))


def _video_links(dataset: LeRobotDataset, video_root: Path | None) -> dict[Path, Path]:
    links: dict[Path, Path] = {}
    for episode in dataset.episodes:
        for key in dataset.video_keys:
            own = dataset.video_path(episode, key)
            name, only = own.relative_to(dataset.root), len(dataset.video_keys) == 1
            found = own
            if video_root is not None:
                found = find_video(video_root, name.as_posix(), key, only_camera=only) or own
                if found == own:
                    raise DatasetError(
                        f"--video_root {video_root}: episode {episode.index}, camera {key}: expected {name} in it, or "
                        f"an end of that path, found none; name the folder that holds the videos of {dataset.root}"
                    )
            links[name] = found
    return links


def _check_inside(dataset: LeRobotDataset, video_root: Path) -> None:
    """Refuses a folder of the dataset that holds none of its videos."""
    videos = [dataset.video_path(episode, key) for episode in dataset.episodes for key in dataset.video_keys]
    if not any(path.is_relative_to(video_root) for path in videos):
        such = f"such as {videos[0]}" if videos else "but it has none"
        raise DatasetError(f"--video_root {video_root}: expected a folder with videos of {dataset.root}, {such}")


def _keep_lines(source: Path, target: Path, kept: set[int]) -> None:
    lines = [line for _, line in read_jsonl(source, ("episode_index",)) if int(line["episode_index"]) in kept]
    target.write_text("".join(v21.json_line(line) for line in lines), encoding="utf-8")


def _keep_rows(source: Path, target: Path, kept: set[int]) -> None:
    table = read_parquet_table(source)
    own = table.filter(pc.is_in(table["episode_index"], pc.cast(sorted(kept), table["episode_index"].type)))
    if own.num_rows:
        pq.write_table(own, target)
