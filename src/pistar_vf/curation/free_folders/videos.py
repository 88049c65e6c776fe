"""Finding videos below a folder: by LeRobot's sub-layout, whatever part of it the folder is, or by a path."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pistar_vf.errors import DatasetError

_CHUNK = re.compile(r"chunk-\d+")
_EPISODE = re.compile(r"episode_(\d+)\.mp4")


def video_files(folder: Path | None) -> list[Path]:
    """The mp4 files in a folder and below it."""
    return [] if folder is None else sorted(folder.rglob("*.mp4"))


def cameras_below(folder: Path) -> list[str]:
    """The cameras of LeRobot's sub-layout: the folders that hold files episode_NNNNNN.mp4, chunks left out.

    A folder that holds such files itself is one camera of its name.
    """
    names = set()
    for path in video_files(folder):
        if _EPISODE.fullmatch(path.name):
            above = [part.name for part in path.parents if not _CHUNK.fullmatch(part.name)]
            names.add(above[0])
    return sorted(names)


def find_video(folder: Path, relative: str, camera: str, *, only_camera: bool) -> Path | None:
    """The video that LeRobot's layout calls `relative`, in a folder that is any part of that layout.

    Args:
        folder: the dataset's folder, its `videos`, a chunk, or a camera.
        relative: such as `videos/chunk-000/<camera>/episode_000003.mp4`.
        camera: its name.
        only_camera: whether a file may be found without the camera's name.

    Returns:
        The file; None where there is none.
    """
    said_by_folder = only_camera or camera in (folder.name, *_above(folder))
    names = (name for name in _names(relative, camera) if said_by_folder or camera in PurePosixPath(name).parts)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def named_video(folder: Path | None, name: str, where: str) -> Path:
    """The video that a table names.

    Args:
        folder: what relative paths begin at; also the folder above it, as tables of LeRobot's first versions say
            `videos/…`. None where only full paths can be meant.
        name: the path.
        where: file and column, for the error.

    Raises:
        DatasetError: there is no such file; says where it was looked for.
    """
    path = Path(name).expanduser()
    tried = [path] if path.is_absolute() else [base / path for base in (folder, folder and folder.parent) if base]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    looked = " and ".join(map(str, tried)) or "nowhere: --video_root says where relative paths begin"
    raise DatasetError(f"{where}: expected the path of a video, got '{name}'; looked at {looked}")


def _above(folder: Path) -> list[str]:
    """The folder of a camera may be divided into chunks."""
    return [folder.parent.name] if _CHUNK.fullmatch(folder.name) else []


def _names(relative: str, camera: str) -> Iterator[str]:
    """The whole name, its ends, and these with the chunk below the camera."""
    parts = PurePosixPath(relative).parts
    swapped = [part for part in parts if part != camera and not _CHUNK.fullmatch(part)]
    chunk = [part for part in parts if _CHUNK.fullmatch(part)]
    flat = (*swapped[:-1], camera, swapped[-1])
    for full in (parts, (*swapped[:-1], camera, *chunk, swapped[-1]), flat):
        yield from ("/".join(full[first:]) for first in range(len(full)))
