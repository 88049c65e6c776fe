"""Decoding frames and checking that they are the frames the table talks about.

Videos and stored images go through the same `resize_frame`, so that the same source pixels give the same model
pixels. Frames become RGB at full size first and are scaled second: swscale's bilinear filter then agrees with
Pillow's antialiased one to a tenth of a grey level on average. Scaling and converting in one step is ten times
farther off; so are swscale's area and bicubic filters.
"""

import io
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8  # not from pistar_vf.typing: decoding processes must not import JAX
from PIL import Image, ImageOps

from pistar_vf.errors import ConfigError, VideoError
from pistar_vf.video.opening import open_video, seconds_per_tick
from pistar_vf.video.presentation import check_presentation, frame_turn, turned

FITS = ("pad", "stretch")
OPENPI_FIT = "openpi"
"""For values of upstream's checkpoints; nobody else chooses it."""

# swscale's flags, as numbers because PyAV's enum does not name them all. Without the last three it halves the
# colour resolution of RGB pictures on the way, which smears saturated edges by up to 20 grey levels.
_BILINEAR, _FULL_CHROMA_OUT, _FULL_CHROMA_IN, _ACCURATE_ROUNDING = 1 << 1, 1 << 13, 1 << 14, 1 << 18
_SCALING = _BILINEAR | _FULL_CHROMA_OUT | _FULL_CHROMA_IN | _ACCURATE_ROUNDING

# FFmpeg's numbers of colour matrices.
_BT709, _UNSPECIFIED, _BT601 = 1, 2, (5, 6)
_CONVERTIBLE = frozenset((0, _BT709, _UNSPECIFIED, 4, *_BT601, 7, 9))  # RGB, FCC, SMPTE 240M, BT.2020
_FULL_RANGE = 2


def check_fit(fit: str) -> None:
    """Refuses anything but "pad" and "stretch", and upstream's "openpi".

    Raises:
        ConfigError: names the two.
    """
    if fit not in (*FITS, OPENPI_FIT):
        raise ConfigError(f"fit: expected {' or '.join(map(repr, FITS))}, got {fit!r}")


def resize_frame(
    image: UInt8[np.ndarray, "h w 3"], size: int, fit: str, scaler: VideoReformatter | None = None
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Scales a picture to the model's square with an antialiased bilinear filter.

    Args:
        image: RGB.
        size: side of the square, pixels.
        fit: "pad" keeps the aspect ratio, centres the picture and fills the rest with black; "stretch" fills the
            square; "openpi" is "pad" with Pillow's filter, to the bit what openpi's `resize_with_pad` gives.
        scaler: keep one for many frames of one shape: setting one up costs more than scaling a frame.
    """
    check_fit(fit)
    if fit == OPENPI_FIT:
        return _resize_as_openpi(image, size)
    height, width = image.shape[:2]
    longest = max(height, width)
    if fit == "pad":
        height, width = max(1, height * size // longest), max(1, width * size // longest)
    else:
        height, width = size, size
    scaled = (scaler or VideoReformatter()).reformat(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
        width=width,
        height=height,
        interpolation=_SCALING,
    )
    canvas = np.zeros((size, size, 3), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = scaled.to_ndarray()
    return canvas


def _resize_as_openpi(image: np.ndarray, size: int) -> np.ndarray:
    height, width = image.shape[:2]
    ratio = max(width / size, height / size)  # dividing by it in floats can lose a pixel, as it does there
    height, width = int(height / ratio), int(width / ratio)
    scaled = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    canvas = np.zeros((size, size, 3), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = np.asarray(scaled)
    return canvas


def decode_video(
    path: Path,
    *,
    size: int,
    fit: str,
    num_frames: int,
    fps: float,
    context: str,
    timestamps: np.ndarray | None = None,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
) -> Iterator[np.ndarray]:
    """Decodes a video, or a clip of it, in order; the checks are complete once the iterator is exhausted.

    A clip costs its own frames and those back to the last keyframe before it, wherever in the file it is.

    Args:
        path: the file.
        size: side of the square frames, pixels.
        fit: "pad" or "stretch", see `resize_frame`.
        num_frames: how many frames the table has.
        fps: frames per second of the dataset.
        context: what error messages call the file, such as "episode 3, camera x".
        timestamps: the table's time of each frame, seconds; None for frame number / fps.
        start_seconds: when the clip begins, seconds since the start of the video.
        end_seconds: when what follows the clip begins; None for a clip that ends with the video.

    Yields:
        uint8 [size, size, 3].

    Raises:
        VideoError: the file is missing, unreadable or truncated, has more or fewer frames than the table, or
            shows a frame more than half a frame away from its time.
    """
    expected = expected_times(timestamps, num_frames, fps)
    to_rgb, scaler = VideoReformatter(), VideoReformatter()
    count = 0
    for time, frame in clip_frames(path, context, start_seconds, end_seconds, fps):
        if count < num_frames:
            _check_time(time, start_seconds + float(expected[count]), fps, f"{context}: {path}: frame {count}")
            yield resize_frame(shown_pixels(frame, f"{context}: {path}: frame {count}", to_rgb), size, fit, scaler)
        count += 1
    if count != num_frames:
        part = "" if end_seconds is None else f" from {start_seconds:.4f} s to {end_seconds:.4f} s"
        raise VideoError(
            f"{context}: {path}: expected {num_frames} frames (rows of the parquet file){part}, got {count}; "
            "the video is truncated or belongs to another version of the dataset"
        )


def decode_image(
    value: bytes | Mapping[str, Any], *, size: int, fit: str, root: Path, context: str
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Decodes one cell of an image column and resizes it as `decode_video` does.

    Args:
        value: an encoded picture, or LeRobot's struct of `bytes` and, where they are null, a `path`.
        size: side of the square frames, pixels.
        fit: "pad" or "stretch", see `resize_frame`.
        root: the folder a relative `path` starts from.
        context: what error messages call the picture.

    Raises:
        VideoError: there is no picture, or it is not a readable 8-bit one.
    """
    encoded, path = (value.get("bytes"), value.get("path")) if isinstance(value, Mapping) else (value, None)
    if encoded is None and path is None:
        raise VideoError(f"{context}: expected an image in 'bytes' or 'path', got null in both")
    try:
        with Image.open(root / str(path) if encoded is None else io.BytesIO(encoded)) as image:
            if image.mode.startswith(("I", "F")):
                raise VideoError(f"{context}: expected an 8-bit colour or grey image, got mode {image.mode} (depth?)")
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for some broken PNG files
        where = f"file {root / str(path)}" if encoded is None else f"{len(encoded)} bytes"
        raise VideoError(f"{context}: cannot decode the image ({where}): {error}") from error
    return resize_frame(pixels, size, fit)


def shown_pixels(
    frame: av.VideoFrame, where: str, to_rgb: VideoReformatter | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A decoded frame as a player shows it: RGB, turned as the file says.

    Args:
        frame: as decoded.
        where: what errors call it.
        to_rgb: keep one for many frames.

    Raises:
        VideoError: it is a grey picture of more than 8 bits (a depth map), its colours cannot be converted, or it is
            to be shown askew.
    """
    if frame.format.name.startswith("gray") and frame.format.components[0].bits > 8:
        raise VideoError(f"{where}: expected a colour picture, got {frame.format.name}; is it a depth map?")
    problem = (
        f"{where}: expected colours that can be converted to RGB, got {frame.format.name} with the colour matrix "
        f"{frame.colorspace}; encode the video anew"
    )
    if frame.colorspace not in _CONVERTIBLE:  # PyAV 15 would convert them by another matrix
        raise VideoError(problem)
    try:
        pixels = (to_rgb or VideoReformatter()).reformat(frame, format="rgb24", **_other_matrix(frame)).to_ndarray()
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"{problem} ({error})") from error
    return np.ascontiguousarray(turned(pixels, frame_turn(frame, where)))


def _other_matrix(frame: av.VideoFrame) -> dict[str, int]:
    """A matrix for the RGB side, which has none: PyAV 15 obeys that of a frame only where it is asked for another."""
    if frame.colorspace == _UNSPECIFIED:
        return {}
    other = {"dst_colorspace": _BT709 if frame.colorspace in _BT601 else _BT601[0]}
    if frame.color_range == _FULL_RANGE:
        other |= {"src_color_range": _FULL_RANGE, "dst_color_range": _FULL_RANGE}
    return other


def clip_frames(
    path: Path, context: str, start_seconds: float, end_seconds: float | None, fps: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yields the frames of a clip at their native size.

    Args:
        path: the video.
        context: what error messages call the file.
        start_seconds: when the clip begins, seconds since the start of the video.
        end_seconds: when what follows the clip begins; None for a clip that ends with the video.
        fps: frames per second; a frame belongs to the clip up to half a frame before either end.

    Yields:
        (seconds since the start of the video, frame).

    Raises:
        VideoError: the file is missing or cannot be decoded.
    """
    half_a_frame = 0.5 / fps
    for time, frame in _decode(path, context, seek_to=start_seconds):
        if end_seconds is not None and time >= end_seconds - half_a_frame:
            return
        if time >= start_seconds - half_a_frame:  # not between the keyframe and the clip
            yield time, frame


def _decode(path: Path, context: str, seek_to: float = 0.0) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yields frames with their time since the start of the video, seconds, from `seek_to` or earlier on."""
    with open_video(path, context, "cannot be decoded, truncated or corrupt") as (container, stream):
        check_presentation(path, stream, context)
        stream.thread_count = 1  # episodes are decoded in parallel, which scales better than threads do
        tick = seconds_per_tick(stream)
        start = (stream.start_time or 0) * tick
        for frame in _frames_from(container, stream, start + seek_to):
            if frame.pts is None:
                raise VideoError(f"{context}: {path}: a frame has no presentation time; re-encode the video")
            yield float(frame.pts * tick - start), frame


def _frames_from(
    container: av.container.InputContainer, stream: av.VideoStream, seconds: float
) -> Iterator[av.VideoFrame]:
    target = round(seconds / seconds_per_tick(stream))
    if target > (stream.start_time or 0):
        container.seek(target, stream=stream)
        frames = container.decode(stream)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= target:
            return itertools.chain((first,), frames)
        # Keyframes are found by decoding time; with B-frames that can lead past the target.
        container.seek(stream.start_time or 0, stream=stream)
    return container.decode(stream)


OUT_OF_STEP = (
    "frames were dropped, or the video does not run at the dataset's rate; where rows and frames belong together one "
    "to one, `pistar-vf repair` writes a copy with frame_index / fps as timestamps"
)


def expected_times(timestamps: np.ndarray | None, num_frames: int, fps: float) -> np.ndarray:
    """When the frames of an episode should be shown, seconds since its first: as its rows say, else 1 / fps apart."""
    if timestamps is None:
        return np.arange(num_frames) / fps
    return timestamps.astype(np.float64).reshape(len(timestamps), -1)[:, 0] - float(timestamps.reshape(-1)[0])


def first_away(times: np.ndarray, expected: np.ndarray, fps: float) -> int | None:
    """The first frame that is more than half a frame away from its time (or whose time is NaN); None if none is."""
    near = np.abs(times - expected) <= 0.5 / fps
    return None if near.all() else int(np.argmin(near))


def _check_time(time: float, expected: float, fps: float, where: str) -> None:
    if first_away(np.array([time]), np.array([expected]), fps) is not None:
        raise VideoError(
            f"{where}: expected at {expected:.4f} s (the table), got {time:.4f} s (the video; the dataset has "
            f"{fps:g} fps); {OUT_OF_STEP}"
        )
