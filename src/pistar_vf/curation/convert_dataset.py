"""Converts a dataset between the LeRobot layouts v2.1 and v3.0, both ways and without loss.

Tables keep their values and types, videos their encoded packets, and the metadata of the episodes every key. What
belongs to no layout (a README, further files in `meta/`) is copied.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

from pistar_vf.changes.staging import check_output, files_below, staged_folder
from pistar_vf.curation.convert_to_v21 import write_v21
from pistar_vf.curation.convert_to_v30 import write_v30
from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot

VERSIONS = (v21.CODEBASE_VERSION, v30.CODEBASE_VERSION)

_OWN_FILES = {
    v21.CODEBASE_VERSION: ("meta/info.json", v21.TASKS_PATH, v21.EPISODES_META, v21.STATS_META),
    v30.CODEBASE_VERSION: ("meta/info.json", v30.TASKS_PATH, v30.STATS_PATH),
}
_OWN_FOLDERS = ("data", "videos", v30.EPISODES_META)


def convert_dataset(
    dataset: LeRobotDataset,
    output_dir: str | Path,
    version: str | None = None,
    *,
    max_data_file_mb: int | float = 100,
    max_video_file_mb: int | float = 200,
    reencode: bool = False,
    progress: bool = True,
) -> Path:
    """Writes a dataset in the other layout; the source is only read.

    The result is made beside `output_dir` and renamed at the end: whatever stops the program leaves either nothing at
    `output_dir` or the whole dataset (a left-over `<output_dir>.partial-*` may be deleted).

    Args:
        dataset: the source.
        output_dir: a new or empty folder outside the dataset.
        version: "v2.1" or "v3.0"; None for the one that the dataset does not have.
        max_data_file_mb: v3.0 begins another parquet file at this size, MiB uncompressed; LeRobot's default.
        max_video_file_mb: v3.0 begins another video file at this size, MiB; LeRobot's default.
        reencode: towards v2.1, encodes anew those episodes that cannot be cut out of their video as they are.
        progress: shows progress bars on stderr.

    Returns:
        `output_dir`.

    Raises:
        ConfigError: there is no such version.
        DatasetError: the dataset has the version already or is damaged, or `output_dir` is unsuitable.
        VideoError: a video is damaged, does not match its table, or cannot be cut without `reencode`.
    """
    output_dir = Path(output_dir)
    source, other = VERSIONS if dataset.version != v30.CODEBASE_VERSION else reversed(VERSIONS)
    version = version or other
    if version not in VERSIONS:
        raise ConfigError(f"version: expected {' or '.join(VERSIONS)}, got {version!r}")
    if version == source:
        raise DatasetError(f"{dataset.root} has the layout of {version} already ({dataset.version}); nothing to do")
    check_output(dataset.root, output_dir)
    with staged_folder(output_dir) as folder:
        if version == v30.CODEBASE_VERSION:
            sizes = {"max_data_file_mb": max_data_file_mb, "max_video_file_mb": max_video_file_mb}
            write_v30(dataset, folder, **sizes, progress=progress)
        else:
            write_v21(dataset, folder, reencode=reencode, progress=progress)
        _copy_other_files(dataset.root, folder, _OWN_FILES[source])
        converted = load_lerobot(folder)
        assert [(e.index, e.length) for e in converted.episodes] == [(e.index, e.length) for e in dataset.episodes]
    return output_dir


def _copy_other_files(root: Path, folder: Path, own_files: Collection[str]) -> None:
    for path in files_below(root):
        own = path.as_posix() in own_files or any(path.is_relative_to(name) for name in _OWN_FOLDERS)
        if not own and not (folder / path).exists():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, folder / path)
