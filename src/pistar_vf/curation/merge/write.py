"""Writes several datasets as one, as a whole or not at all; the sources are only read."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.changes.staging import check_output, staged_folder
from pistar_vf.curation.convert_to_v30 import write_v30
from pistar_vf.curation.merge.index_tables import write_index_tables
from pistar_vf.curation.merge.plan import MergeOptions, MergePlan, plan_merge
from pistar_vf.curation.merge.sources import create_sources
from pistar_vf.curation.merge.tables import write_tables
from pistar_vf.curation.merge.videos import add_videos_v21, add_videos_v30
from pistar_vf.errors import ConfigError
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot

VERSIONS = (v21.CODEBASE_VERSION, v30.CODEBASE_VERSION)


def merge_datasets(
    datasets: Sequence[LeRobotDataset],
    output_dir: str | Path,
    version: str | None = None,
    *,
    options: MergeOptions | None = None,
    reencode: bool = False,
    max_data_file_mb: int | float = 100,
    max_video_file_mb: int | float = 200,
    progress: bool = True,
) -> Path:
    """Puts datasets one after another into a new one.

    Episodes, rows and tasks are numbered anew; the key `source` of an episode's metadata names the dataset that it
    came from. Every other column, every other key and every picture is what it was. The result is made beside
    `output_dir` and renamed at the end: whatever stops the program leaves either nothing at `output_dir` or the whole
    dataset (a left-over `<output_dir>.partial-*` may be deleted). One table is in memory at a time.

    Args:
        datasets: in the order of the result, of whatever layouts.
        output_dir: a new or empty folder outside all datasets.
        version: "v2.1" or "v3.0"; None for that of the first dataset.
        options: how to make them fit together, see `MergeOptions`.
        reencode: from v3.0 to v2.1, encodes anew those episodes that cannot be cut out of their video as they are.
        max_data_file_mb: v3.0 begins another parquet file at this size, MiB uncompressed; LeRobot's default.
        max_video_file_mb: v3.0 begins another video file at this size, MiB; LeRobot's default. Files of v3.0 datasets
            stay as they are.
        progress: shows progress bars on stderr.

    Returns:
        `output_dir`.

    Raises:
        ConfigError: there is no such version, a dataset is given twice, or an option cannot be carried out.
        DatasetError: the datasets do not fit together or are damaged, or `output_dir` is unsuitable.
        VideoError: a video is damaged, does not match its table, or cannot be cut without `reencode`.
    """
    output_dir, options = Path(output_dir), options or MergeOptions()
    if not datasets:
        raise ConfigError("expected at least one dataset, got none")
    version = version or (v30 if datasets[0].version == v30.CODEBASE_VERSION else v21).CODEBASE_VERSION
    if version not in VERSIONS:
        raise ConfigError(f"version: expected {' or '.join(VERSIONS)}, got {version!r}")
    for dataset in datasets:
        check_output(dataset.root, output_dir)
    plan = plan_merge(create_sources(datasets, options.rename), options)
    with staged_folder(output_dir) as folder:
        if version == v21.CODEBASE_VERSION:
            write_tables(plan, folder, progress)
            add_videos_v21(plan, folder, reencode=reencode, progress=progress)
        else:
            _write_v30(plan, folder, max_data_file_mb, max_video_file_mb, progress)
        write_index_tables(plan.index_tables, folder)
        merged = load_lerobot(folder)
        assert [e.length for e in merged.episodes] == [e.length for d in datasets for e in d.episodes]
    return output_dir


def _write_v30(
    plan: MergePlan, folder: Path, max_data_file_mb: int | float, max_video_file_mb: int | float, progress: bool
) -> None:
    """By way of the tables in v2.1; videos of v3.0 need not be cut for it."""
    scratch = folder.parent / "scratch"  # goes with the staging folder
    scratch.mkdir()
    write_tables(plan, scratch, progress)
    tables = load_lerobot(scratch)
    features = {name: feature for name, feature in plan.features.items() if name not in plan.video_keys}
    tables = dataclasses.replace(tables, features=features)
    sizes = {"max_data_file_mb": max_data_file_mb, "max_video_file_mb": max_video_file_mb}
    write_v30(tables, folder, **sizes, progress=progress)
    add_videos_v30(plan, folder, scratch=scratch, max_file_mb=max_video_file_mb, progress=progress)
