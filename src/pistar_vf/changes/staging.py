"""Writing a dataset as a whole or not at all, and never into another one; and where a file can be written."""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.hub.revision import is_in_cache

_log = logging.getLogger(__name__)


def check_output(root: Path, output_dir: Path) -> None:
    """Refuses an output folder that is not new, or that lies in the source.

    Args:
        root: the dataset that is read.
        output_dir: the dataset to write.

    Raises:
        DatasetError: `output_dir` is a symlink, is or lies in `root` or a cache of the hub, or holds files.
    """
    source, target = root.resolve(), output_dir.resolve()
    if is_in_cache(output_dir) or is_in_cache(target):
        raise DatasetError(
            f"expected an output folder of your own, got {output_dir} in the hub's cache, which is only ever read; "
            "pass --output_dir"
        )
    if output_dir.is_symlink():
        raise DatasetError(f"expected a new folder to write to, got the symlink {output_dir}; name a real folder")
    if source == target or source in target.parents:
        raise DatasetError(
            f"expected an output folder outside the dataset {root}, got {output_dir}; the source is never written to"
        )
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise DatasetError(f"expected a new or empty output folder, got {output_dir}, which exists; name another one")


def check_file(path: Path, flag: str) -> None:
    """Refuses a place at which no file can be written, before its content is computed.

    Args:
        path: the file to write; its folder may be missing.
        flag: what names it.

    Raises:
        ConfigError: `path` is a folder, or nothing can be written into the folder that it would be in.
    """
    if path.is_dir():
        raise ConfigError(f"{flag} {path}: expected a file to write, got a folder; name a file in it")
    above = next(place for place in path.absolute().parents if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"{flag} {path}: expected a folder to write it to, got {above}; name another place")


@contextlib.contextmanager
def staged_folder(output_dir: Path) -> Iterator[Path]:
    """A folder that becomes `output_dir` at the end of the block, and vanishes if the block fails.

    It lies beside `output_dir`, so that the last step is one rename. A program that is killed leaves a
    `<output_dir>.partial-*`, which may be deleted.
    """
    with scratch_folder(output_dir) as staging:
        folder = staging / "dataset"  # mkdtemp's own is closed to other users
        folder.mkdir()
        yield folder
        os.rename(folder, output_dir)


@contextlib.contextmanager
def scratch_folder(output_dir: Path) -> Iterator[Path]:
    """A new folder beside `output_dir`, gone at the end of the block."""
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    # mkdtemp gives a fresh folder, never somebody's symlink, even where process ids repeat.
    folder = Path(tempfile.mkdtemp(prefix=f"{output_dir.name}.partial-{os.getpid()}-", dir=output_dir.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def copy_other_files(root: Path, copy: Path, written: Collection[Path]) -> None:
    """Copies a dataset but for the files that are written anew; videos as hard links.

    Args:
        root: the dataset's folder.
        copy: the folder of the copy; it gets all folders.
        written: paths relative to `root` to leave out.
    """
    for path in files_below(root):
        target = copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path not in written:
            make = link_or_copy if path.parts[0] == "videos" else shutil.copy2
            make(root / path, target)


def files_below(root: Path) -> Iterator[Path]:
    """Relative paths of all files; hidden folders (version control, download caches, backups) are left out.

    So are links that lead nowhere, as a download cache leaves them: they are missing files, and this says so.
    """
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(folder, name) for name in sorted(files)):
            if path.exists():
                yield path.relative_to(root)
            else:
                _log.warning("%s is a link that leads nowhere; it is left out", path)


def link_or_copy(source: Path, target: Path) -> None:
    """Makes `target` the same file as `source`, or a copy of it where the file system has no hard links.

    Raises:
        FileExistsError: there is a file at `target`; writing into it would change it under its other names too.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(os.path.realpath(source), target)  # the file itself: download caches keep symlinks to it
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(source, target)
