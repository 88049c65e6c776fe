"""What a file says about how its frames are shown, as players obey it: turned, mirrored, cropped, stretched.

Turned and mirrored frames are shown so here too; a crop or stretched pixels are refused, because LeRobot's own readers
ignore them and would show something else.
"""

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from jaxtyping import UInt8  # not from pistar_vf.typing: decoding processes must not import JAX

from pistar_vf.errors import VideoError

Turn = tuple[int, int, int, int]
"""(a, b, c, d), each -1, 0 or 1: the pixel at (x, y) is shown at (a x + c y, b x + d y), up to a shift."""

UPRIGHT: Turn = (1, 0, 0, 1)
_TURNS = frozenset(
    turn for s in (1, -1) for t in (1, -1) for turn in ((s, 0, 0, t), (0, s, t, 0))
)  # the eight ways to lay a square on itself
_ONE = 1 << 16  # of 16.16 fixed point
_STRETCH_TOLERANCE = 0.01
_CONTAINERS = (b"mdia", b"minf", b"stbl")
_SAMPLE_ENTRY_BYTES = 78


@dataclasses.dataclass(frozen=True)
class Mp4Facts:
    """What the header of an mp4 file says about its first video.

    Attributes:
        matrix: a, b, c and d of the display matrix, 16.16 fixed point; None where the file is no mp4.
        clean_aperture: width and height that are to be shown, pixels; None for all of the picture.
    """

    matrix: tuple[int, int, int, int] | None = None
    clean_aperture: tuple[float, float] | None = None


def frame_turn(frame: av.VideoFrame, where: str) -> Turn:
    """How a decoded frame is to be turned.

    Raises:
        VideoError: by something else than quarter turns and mirrors.
    """
    # Not by iterating, which gives other things from PyAV 19 on. PyAV's types call the buffer an object.
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    matrix = struct.unpack("=9i", bytes(data)[:36])
    return _turn((matrix[0], matrix[1], matrix[3], matrix[4]), where)


def turned(pixels: UInt8[np.ndarray, "h w 3"], turn: Turn) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture as it is shown."""
    a, b, c, d = turn
    if a == 0:
        pixels = pixels.transpose(1, 0, 2)
    if a + c < 0:
        pixels = pixels[:, ::-1]
    if b + d < 0:
        pixels = pixels[::-1]
    return pixels


def shown_size(width: int, height: int, matrix: tuple[int, int, int, int] | None) -> tuple[int, int]:
    """Width and height of the frames as they are shown."""
    return (height, width) if matrix is not None and matrix[0] == 0 != matrix[1] else (width, height)


def check_presentation(path: Path, stream: av.VideoStream, context: str) -> Mp4Facts:
    """Refuses what players obey and this library does not.

    Raises:
        VideoError: pixels that are not square, or a crop that the file's header asks for.
    """
    ratio = stream.sample_aspect_ratio
    if ratio and abs(float(ratio) - 1) > _STRETCH_TOLERANCE:
        raise VideoError(
            f"{context}: {path}: expected square pixels, got a sample aspect ratio of {ratio.numerator}:"
            f"{ratio.denominator}: players show it stretched, LeRobot does not; encode it with square pixels"
        )
    facts = mp4_facts(path)
    size = (stream.codec_context.width, stream.codec_context.height)
    if facts.clean_aperture is not None and tuple(map(round, facts.clean_aperture)) != size:
        width, height = facts.clean_aperture
        raise VideoError(
            f"{context}: {path}: expected the whole picture of {size[0]}x{size[1]} to be shown, got a crop to "
            f"{width:g}x{height:g} in the file's header (clap): players crop it, LeRobot does not; encode it cropped"
        )
    return facts


def mp4_facts(path: Path) -> Mp4Facts:
    """Reads the header of an mp4 file; nothing is known of other files."""
    with path.open("rb") as file:
        for kind, start, end in _boxes(file, 0, path.stat().st_size):
            if kind == b"moov":
                tracks = [_track(file, *place) for name, *place in _boxes(file, start, end) if name == b"trak"]
                return next((facts for facts in tracks if facts is not None), Mp4Facts())
    return Mp4Facts()


def _track(file: BinaryIO, start: int, end: int) -> Mp4Facts | None:
    """Of a video track; None of another."""
    boxes = dict(_leaves(file, start, end))
    if boxes.get(b"hdlr", b"")[8:12] != b"vide" or b"tkhd" not in boxes:
        return None
    header = boxes[b"tkhd"]
    matrix = struct.unpack_from(">9i", header, 4 + (32 if header[0] == 1 else 20) + 16)
    return Mp4Facts((matrix[0], matrix[1], matrix[3], matrix[4]), _clean_aperture(boxes.get(b"stsd", b"")))


def _leaves(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    for kind, first, last in _boxes(file, start, end):
        if kind in _CONTAINERS:
            yield from _leaves(file, first, last)
        elif kind in (b"tkhd", b"hdlr", b"stsd"):
            file.seek(first)
            yield kind, file.read(last - first)


def _clean_aperture(descriptions: bytes) -> tuple[float, float] | None:
    """Of the first sample description: 8 bytes of version and count, a header of 8, fixed fields, then boxes."""
    place, end = 16 + _SAMPLE_ENTRY_BYTES, len(descriptions)
    while place + 8 <= end:
        size, kind = struct.unpack_from(">I4s", descriptions, place)
        if kind == b"clap" and place + 24 <= end:
            width, width_unit, height, height_unit = struct.unpack_from(">4I", descriptions, place + 8)
            return (width / width_unit, height / height_unit) if width_unit and height_unit else None
        place += max(size, 8)
    return None


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first and last byte of the content of every box between two places of a file."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        first = start + 8
        if size == 1 and len(head) == 16:
            size, first = struct.unpack_from(">Q", head, 8)[0], start + 16
        stop = end if size == 0 else start + size
        if stop <= start or stop < first:
            return
        yield kind, first, min(stop, end)
        start = stop


def _turn(matrix: tuple[int, int, int, int], where: str) -> Turn:
    a, b, c, d = (round(entry / _ONE) if entry % _ONE == 0 else 2 for entry in matrix)
    if (a, b, c, d) not in _TURNS:
        raise VideoError(
            f"{where}: expected frames that are shown upright, mirrored or turned by quarters, got the display matrix "
            f"{', '.join(f'{entry / _ONE:g}' for entry in matrix)}; encode the video as it should be shown"
        )
    return a, b, c, d
