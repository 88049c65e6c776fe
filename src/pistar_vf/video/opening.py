"""Opening a video file, with errors that say whose it is and what is wrong with it."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from pistar_vf.errors import VideoError
from pistar_vf.foreign_files import refuse_stand_in

_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Titles and comments in other encodings are no damage: nobody here reads them. PyAV 19 never minds."""


@contextlib.contextmanager
def open_video(path: Path, context: str, problem: str) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """A file and its video stream; whatever FFmpeg raises while they are in use becomes an error of ours.

    Args:
        path: the file.
        context: whose video it is, such as "episode 3, camera observation.images.front", for errors.
        problem: what it means when FFmpeg cannot go on, such as "cannot be copied".

    Raises:
        VideoError: the file is missing, holds no video, or is damaged.
    """
    if not path.is_file():
        raise VideoError(f"{context}: {missing_video(path)}")
    refuse_stand_in(path, VideoError, f"{context}: ")
    try:
        with av.open(str(path), **_LENIENT) as container:
            if not container.streams.video:
                raise VideoError(f"{context}: {path}: expected a video stream, got none")
            stream = container.streams.video[0]
            if stream.codec_context is None:  # PyAV opens such a file, but has no codec for it
                raise VideoError(f"{context}: {path}: cannot be read, its header is cut short; download it again")
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(f"{context}: {path}: {problem}: {error}") from error


def seconds_per_tick(stream: av.VideoStream) -> Fraction:
    """The unit of a stream's times; every stream of an opened file has one."""
    tick = stream.time_base
    assert tick is not None
    return Fraction(tick.numerator, tick.denominator)  # PyAV 19 has a class of its own


def missing_video(path: Path) -> str:
    """What to say about a video that is not where `meta/info.json` says."""
    for folder in path.parents:
        if folder.parent.is_dir() and not folder.is_dir():
            others = sorted(other.name for other in folder.parent.iterdir() if other.is_dir())
            there = f"{folder.parent} has no '{folder.name}'" + (f", but {', '.join(others)}" if others else "")
            return f"no video at {path}: {there}; rename the folder, or correct video_path in meta/info.json"
    return f"no video at {path}; download it again, or leave the episode out"
