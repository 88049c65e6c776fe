"""Joining and cutting videos by copying their packets: not one frame is encoded again.

A packet keeps its bytes; only its times are shifted. What joins must have the same codec headers, and what is cut out
must begin with a keyframe and be in one piece in decoding order; callers are told where that is not so.
"""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from pistar_vf.errors import VideoError
from pistar_vf.video.opening import open_video, seconds_per_tick
from pistar_vf.video.presentation import check_presentation, shown_size

_PROBLEM = "cannot be read or copied"


@dataclasses.dataclass(frozen=True)
class PacketTable:
    """The packets of a video in decoding order.

    Attributes:
        seconds: when the frame of each is shown, since the start of the video, [packets] float64; NaN for one that the
            file's edit list hides, though it may be needed to decode others.
        is_keyframe: whether decoding can begin there, [packets] bool.
        end_seconds: when the last frame shown ends, exactly.
        codec: as FFmpeg calls it, such as "h264".
        headers: what else must be equal for two videos to be joined: size, pixel format, codec headers, orientation.
        size: width and height of the frames as they are shown, pixels.
    """

    seconds: np.ndarray
    is_keyframe: np.ndarray
    end_seconds: Fraction
    codec: str
    headers: tuple[object, ...]
    size: tuple[int, int]

    @property
    def num_hidden(self) -> int:
        """Packets whose frames are not shown."""
        return int(np.isnan(self.seconds).sum())

    def clean_cut(self, start_seconds: float, end_seconds: float, fps: float) -> range | None:
        """The packets of a clip, or None where they cannot be cut out without re-encoding.

        Args:
            start_seconds: when the clip begins.
            end_seconds: when what follows begins.
            fps: frames per second; a frame belongs to the clip up to half a frame before either end.
        """
        wanted = self.in_clip(start_seconds, end_seconds, fps)
        if wanted.size == 0 or wanted[-1] - wanted[0] + 1 != wanted.size:
            return None
        first = int(wanted[0])
        # Before the keyframe's own time there may be frames that need what is cut off.
        if not self.is_keyframe[first] or self.seconds[wanted].min() < self.seconds[first]:
            return None
        return range(first, first + wanted.size)

    def in_clip(self, start_seconds: float, end_seconds: float, fps: float) -> np.ndarray:
        """Positions of the packets whose frames a clip shows; arguments as in `clean_cut`."""
        half_a_frame = 0.5 / fps
        inside = (self.seconds >= start_seconds - half_a_frame) & (self.seconds < end_seconds - half_a_frame)
        return np.flatnonzero(inside)


def read_packet_table(path: Path, context: str) -> PacketTable:
    """Reads through a video without decoding it.

    Raises:
        VideoError: the file is missing or damaged.
    """
    starts, ends, keyframes, hidden = [], [], [], []
    with open_video(path, context, _PROBLEM) as (container, stream):
        for packet, start, _ in _packets(container, stream, f"{context}: {path}"):
            starts.append(start)
            ends.append(start + (packet.duration or 0))
            keyframes.append(packet.is_keyframe)
            hidden.append(packet.is_discard)
        facts = check_presentation(path, stream, context)
        codec, time_base, first = stream.codec_context, seconds_per_tick(stream), stream.start_time or 0
        shown = ~np.array(hidden, bool)
        return PacketTable(
            seconds=np.where(shown, (np.array(starts, np.int64) - first) * float(time_base), np.nan),
            is_keyframe=np.array(keyframes, bool),
            end_seconds=int((np.array(ends, np.int64) - first)[shown].max(initial=0)) * time_base,
            codec=codec.codec.canonical_name,
            headers=(codec.width, codec.height, codec.pix_fmt, codec.extradata, facts.matrix),
            size=shown_size(codec.width, codec.height, facts.matrix),
        )


class PacketWriter:
    """Writes packets into a new mp4 file; a context manager, complete once left."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The index in front, as LeRobot puts it, so that a file can be played while it is loaded.
        self._container = av.open(str(path), "w", options={"movflags": "faststart"})
        self._stream: av.VideoStream | None = None

    def __enter__(self) -> "PacketWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._container.close()

    def append(self, path: Path, start_seconds: Fraction, context: str) -> None:
        """Copies all packets of a video.

        Args:
            path: the video.
            start_seconds: when its first frame is to be shown.
            context: what error messages call it.

        Raises:
            VideoError: it is missing or damaged.
        """
        with open_video(path, context, _PROBLEM) as (container, stream):
            shift = round(start_seconds / seconds_per_tick(stream)) - (stream.start_time or 0)
            for packet, start, decoded in _packets(container, stream, f"{context}: {path}"):
                self.write(packet, stream, start + shift, decoded + shift)

    def write(self, packet: av.Packet, source: av.VideoStream, start: int, decoded: int) -> None:
        """Writes one packet of `source`, shown from `start` on and decoded at `decoded`, ticks of its time base."""
        if self._stream is None:
            self._stream = self._container.add_stream_from_template(source, opaque=True)
            self._stream.time_base = source.time_base
        packet.pts, packet.dts, packet.stream = start, decoded, self._stream
        self._container.mux(packet)


def cut_video(path: Path, cuts: list[tuple[range, Path]], context: str) -> None:
    """Writes pieces of a video into files of their own, each starting at 0 s.

    Args:
        path: the video.
        cuts: packets of each piece (`PacketTable.clean_cut`) and the file to write, in the order of the packets.
        context: what error messages call the video.

    Raises:
        VideoError: the video is missing or damaged.
    """
    with open_video(path, context, _PROBLEM) as (container, stream):
        packets = enumerate(_packets(container, stream, f"{context}: {path}"))
        for positions, target in cuts:
            with PacketWriter(target) as writer:
                for position, (packet, start, decoded) in packets:
                    if position == positions.start:
                        first = start  # of a keyframe, shown before all that follow
                    if position in positions:
                        writer.write(packet, stream, start - first, decoded - first)
                    if position == positions[-1]:
                        break


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream, where: str
) -> Iterator[tuple[av.Packet, int, int]]:
    """The packets in decoding order, each with the ticks at which it is shown and decoded."""
    for packet in container.demux(stream):
        if not packet.size:
            continue  # the last one is empty: it flushes
        if packet.pts is None or packet.dts is None:
            raise VideoError(f"{where}: a frame has no presentation time; re-encode the video")
        yield packet, packet.pts, packet.dts
