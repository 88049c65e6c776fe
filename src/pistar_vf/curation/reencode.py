"""Encodes a piece of a video anew, for clips that cannot be cut out as they are."""

from fractions import Fraction
from pathlib import Path

import av

from pistar_vf.errors import VideoError
from pistar_vf.lerobot.episode import VideoClip
from pistar_vf.video.decoding import clip_frames, shown_pixels
from pistar_vf.video.presentation import UPRIGHT, frame_turn

# Visually lossless, and a keyframe every other frame, as LeRobot's own videos: frames are read at random.
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"g": "2", "crf": "16"}),
    "hevc": ("libx265", {"g": "2", "crf": "16", "x265-params": "log-level=error"}),
    "av1": ("libsvtav1", {"g": "2", "crf": "16", "preset": "8"}),
    "mpeg4": ("mpeg4", {"g": "2", "qmin": "2", "qmax": "2"}),
}


def reencode_clip(clip: VideoClip, target: Path, *, codec: str, fps: float, context: str) -> None:
    """Writes a clip as an mp4 file of its own, in the same codec, starting at 0 s.

    Args:
        clip: the piece.
        target: the file to write.
        codec: what the video is encoded with, as FFmpeg calls it.
        fps: frames per second of the dataset.
        context: what error messages call the clip.

    Raises:
        VideoError: the video is damaged, or there is no encoder for its codec.
    """
    if codec not in _ENCODERS:
        raise VideoError(f"{context}: {clip.path}: expected one of {', '.join(_ENCODERS)} to re-encode, got {codec}")
    encoder, options = _ENCODERS[codec]
    target.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(target), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(encoder, rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        first: float | None = None
        for time, frame in clip_frames(clip.path, context, clip.start_seconds, clip.end_seconds, fps):
            turn = frame_turn(frame, f"{context}: {clip.path}")
            if turn != UPRIGHT:
                pixels = shown_pixels(frame, f"{context}: {clip.path}")
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=frame.format.name)
            if first is None:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
                first = time
            frame.pts, frame.time_base, frame.pict_type = round((time - first) * rate), 1 / rate, 0
            container.mux(stream.encode(frame))
        if first is None:
            raise VideoError(f"{context}: {clip.path}: expected frames from {clip.start_seconds:.4f} s on, got none")
        container.mux(stream.encode(None))
