"""Changes what the header of an mp4 file says, leaving its packets alone."""

import struct
from collections.abc import Sequence
from pathlib import Path


def set_matrix(path: Path, matrix: Sequence[float]) -> Path:
    """Sets a, b, c and d of the display matrix of the first track."""
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd") + 4
    place = header + 4 + (32 if content[header] == 1 else 20) + 16
    a, b, c, d = (round(entry * 65536) for entry in matrix)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def cut_by_edit_list(path: Path, *, duration_ticks: int | None = None, later_ticks: int = 0) -> Path:
    """Changes the only entry of the edit list: how long the video is shown, and from where on.

    Args:
        path: the file.
        duration_ticks: in the movie's time scale (1000 a second); None leaves it.
        later_ticks: in the video's time scale.
    """
    content = bytearray(path.read_bytes())
    place = content.index(b"elst") + 12
    duration, start, rate = struct.unpack_from(">IiI", content, place)
    struct.pack_into(">IiI", content, place, duration_ticks or duration, start + later_ticks, rate)
    path.write_bytes(content)
    return path


def add_clean_aperture(path: Path, width: int, height: int) -> Path:
    """Puts a `clap` box in the place of the sample description's `btrt`, which is smaller, and mends the sizes."""
    content = bytearray(path.read_bytes())
    clap = struct.pack(">I4s8I", 40, b"clap", width, 1, height, 1, 0, 1, 0, 1)
    entry = content.index(b"avc1", content.index(b"stsd")) - 4
    place = entry + struct.unpack_from(">I", content, entry)[0]
    content[place:place] = clap
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        start = content.index(kind, content.index(b"moov")) - 4
        struct.pack_into(">I", content, start, struct.unpack_from(">I", content, start)[0] + len(clap))
    path.write_bytes(content)
    return path
