"""From two folders to the dataset that they make; made once, found again as long as the folders stay the same."""

import hashlib
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pistar_vf.changes.staging import staged_folder
from pistar_vf.curation.free_folders.part import find_part, stamps
from pistar_vf.curation.free_folders.tables import FreeTables
from pistar_vf.curation.free_folders.videos import video_files
from pistar_vf.curation.free_folders.write import write_dataset
from pistar_vf.errors import DatasetError
from pistar_vf.frames.settings import cache_root
from pistar_vf.lerobot.metadata import dataset_above

_log = logging.getLogger(__name__)
_FORMAT_VERSION = 2
"""Part of the digest: raise it when the same folders would give another dataset."""


def dataset_of_folders(
    parquet_dir: str | Path, video_root: str | Path | None = None, cache_dir: str | Path | None = None
) -> Path:
    """The dataset that a folder of parquet files and a folder of videos make.

    Args:
        parquet_dir: inside a LeRobot dataset: its episodes whose files are there. Else any folder with parquet files,
            see `FreeTables`.
        video_root: where the videos are; None for the dataset's own, or for those that the tables name by full paths.
        cache_dir: where a dataset that has to be written goes; None for `$PISTAR_VF_CACHE`, or `~/.cache/pistar_vf`.

    Returns:
        Its folder: the LeRobot dataset itself where the folders mean all of it, else one below the cache.

    Raises:
        DatasetError: a folder is missing or holds nothing of the kind, or tables and videos do not belong together.
    """
    tables, videos = _folder(parquet_dir, "--parquet_dir"), None
    if video_root is not None:
        videos = _folder(video_root, "--video_root")
    root = dataset_above(tables)
    if root is None:
        return _free(tables, videos, cache_dir)
    part = find_part(root, tables, videos)
    if part.is_whole:
        return root
    return _made(f"{root.name}-{tables.name}", part.facts(), part.write, cache_dir)


def _free(tables: Path, videos: Path | None, cache_dir: str | Path | None) -> Path:
    paths = sorted(path for path in tables.rglob("*.parquet") if not path.name.startswith("."))
    if not paths:
        raise DatasetError(f"--parquet_dir {tables}: expected parquet files in it or below it, found none")
    facts = [stamps(paths), str(videos), stamps(video_files(videos))]
    name = tables.name if not re.fullmatch(r"chunk-\d+|data", tables.name) else f"{tables.parent.name}-{tables.name}"
    return _made(name, facts, lambda copy: write_dataset(FreeTables.open(tables, paths), videos, copy), cache_dir)


def _made(name: str, facts: Any, write: Callable[[Path], None], cache_dir: str | Path | None) -> Path:
    """The folder in the cache that belongs to the facts, written if it is not there."""
    digest = hashlib.sha256(json.dumps([_FORMAT_VERSION, facts]).encode()).hexdigest()[:12]
    name = re.sub(r"[^\w.-]+", "_", f"{name}-{digest}")
    folder = cache_root(cache_dir).absolute() / "folders" / name
    if not folder.is_dir():
        try:
            with staged_folder(folder) as copy:
                write(copy)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    _log.warning("--parquet_dir: read as the dataset %s (for --data_dir of other commands)", folder)
    return folder


def _folder(folder: str | Path, flag: str) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise DatasetError(f"{flag} {folder}: expected a folder, found {'a file' if path.exists() else 'none'}")
    return path.resolve()
