"""What a camera saw in one episode, as a small video that browsers play."""

import base64
import dataclasses
import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np

from pistar_vf.drawing.episode_picture import without_padding
from pistar_vf.errors import ConfigError
from pistar_vf.frames.episode_decoder import decode_episode
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.typing import UInt8

_SIDE = 320
_KEY_FRAMES = 12  # frames apart: a browser decodes up to so many to show one
_BYTES_OF_A_PAGE = 16_000_000
"""Of all videos of a page; in base64 a third more."""
_MOST_BITS = 2**31 - 1
"""A second: what FFmpeg's `bufsize` can be; a short video that may be large would ask for more."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """A video.

    Attributes:
        camera: whose it is.
        mime: its type.
        data: the file.
    """

    camera: str
    mime: str
    data: bytes

    def base64(self) -> str:
        """The file as text."""
        return base64.b64encode(self.data).decode()


@dataclasses.dataclass(frozen=True)
class _Encoder:
    codec: str
    container: str
    mime: str
    options: dict[str, str]


_ENCODERS = (
    _Encoder("libx264", "mp4", "video/mp4", {"crf": "27", "preset": "veryfast", "movflags": "faststart"}),
    _Encoder("libvpx-vp9", "webm", "video/webm", {"crf": "36", "deadline": "realtime", "cpu-used": "8"}),
)
"""The first one that this build of FFmpeg has; both play in the browsers of the last years."""


def episode_clips(dataset: LeRobotDataset, episode: Episode, num_episodes: int) -> tuple[Clip, ...]:
    """A clip of every camera.

    Args:
        dataset: whose episode it is.
        episode: to be shown.
        num_episodes: so many share what a page may hold.
    """
    most = _BYTES_OF_A_PAGE // max(1, num_episodes * len(dataset.camera_keys))
    return tuple(
        Clip(
            key.removeprefix("observation.images."),
            *encode(_pictures(dataset, episode, key), dataset.fps, episode.length, most),
        )
        for key in dataset.camera_keys
    )


def encode(
    frames: Iterable[UInt8[np.ndarray, "_h _w 3"]], fps: float, num_frames: int, most_bytes: int
) -> tuple[str, bytes]:
    """(type, file) of a video, about `most_bytes` at the most: where pictures need more, they are coarser.

    Args:
        frames: of one size, in memory one at a time.
        fps: frames per second.
        num_frames: how many there are.
        most_bytes: of the file.

    Raises:
        ConfigError: this build of FFmpeg has no encoder whose videos browsers play.
    """
    encoder = next((one for one in _ENCODERS if one.codec in av.codecs_available), None)
    if encoder is None:
        names = " or ".join(one.codec for one in _ENCODERS)
        raise ConfigError(f"videos of a report need FFmpeg's {names}, which this PyAV lacks: pip install -U av")
    bits = str(int(np.clip(8 * most_bytes * fps / num_frames, 8_000, _MOST_BITS)))
    limits = {"maxrate": bits, "bufsize": bits} if encoder.container == "mp4" else {"b": bits}
    file = io.BytesIO()
    with av.open(file, "w", format=encoder.container) as container:
        stream: av.VideoStream | None = None
        for frame in frames:
            even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
            if stream is None:
                rate = Fraction(fps).limit_denominator(1001)
                stream = cast(
                    av.VideoStream,
                    container.add_stream(encoder.codec, rate=rate, options={**encoder.options, **limits}),
                )
                stream.height, stream.width, stream.pix_fmt = *even.shape[:2], "yuv420p"
                stream.gop_size = _KEY_FRAMES
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
    return encoder.mime, file.getvalue()


def _pictures(dataset: LeRobotDataset, episode: Episode, key: str) -> Iterator[UInt8[np.ndarray, "_h _w 3"]]:
    """No larger than they are, nor than a page needs."""
    height, width = dataset.image_size(key)
    side = min(_SIDE, max(height, width))
    for frame in decode_episode(dataset, episode, key, size=side, fit="pad"):
        yield without_padding(frame, height, width)
