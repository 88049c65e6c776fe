"""One episode as a video: the cameras, and beside them the value curve as it grows."""

import itertools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from pistar_vf.drawing.episode_picture import EpisodeView, draw_value
from pistar_vf.typing import UInt8

_CURVE_WIDTH, _LEAST_CURVE_HEIGHT = 640, 240
_DPI = 100
_ENCODERS = {"libx264": {"crf": "20"}, "mpeg4": {"qmin": "2", "qmax": "6"}}
"""The first one that this build of FFmpeg has."""


class GrowingCurve:
    """A value curve that is drawn once; what lies ahead of a frame is then shown pale.

    Args:
        view: the episode.
        height: of the picture, pixels.
    """

    def __init__(self, view: EpisodeView, height: int):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(_CURVE_WIDTH / _DPI, height / _DPI), dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw_value(axes, view)
        axes.set_title(view.title, fontsize=8)
        canvas.draw()
        self._picture = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        box = axes.get_window_extent()
        rows = len(self._picture)
        self._top, self._bottom, self._right = rows - round(box.y1), rows - round(box.y0), round(box.x1)
        points = np.stack([np.arange(len(view.value)), np.zeros(len(view.value))], axis=1)
        self.columns = axes.transData.transform(points)[:, 0].round().astype(int)
        """Where each frame is, pixels from the left."""

    def at(self, frame: int) -> UInt8[np.ndarray, "h w 3"]:
        """The curve up to a frame."""
        column = self.columns[frame]
        picture = self._picture.copy()
        ahead = picture[self._top : self._bottom, column : self._right]
        ahead[:] = 255 - (255 - ahead) // 4
        picture[self._top : self._bottom, column] = 40
        return picture


def write_episode_video(
    view: EpisodeView, frames: Iterable[list[UInt8[np.ndarray, "h w 3"]]], fps: float, path: Path
) -> Path:
    """Writes an mp4, one frame in memory at a time.

    Args:
        view: the episode.
        frames: the pictures of all cameras, frame by frame.
        fps: frames per second.
        path: where to.
    """
    frames = iter(frames)
    first = next(frames)
    height = max(_LEAST_CURVE_HEIGHT, *(picture.shape[0] for picture in first))
    curve = GrowingCurve(view, height + height % 2)
    with av.open(str(path), "w") as container:
        shown = (side_by_side([*own, curve.at(number)]) for number, own in enumerate(itertools.chain([first], frames)))
        head = next(shown)
        stream = _add_stream(container, fps, *head.shape[:2])
        for picture in itertools.chain([head], shown):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def _add_stream(container: av.container.OutputContainer, fps: float, height: int, width: int) -> av.VideoStream:
    encoder = next(name for name in _ENCODERS if name in av.codecs_available)
    rate = Fraction(fps).limit_denominator(1001)
    stream = cast(av.VideoStream, container.add_stream(encoder, rate=rate, options=_ENCODERS[encoder]))
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    return stream


def side_by_side(pictures: list[UInt8[np.ndarray, "_h _w 3"]]) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures in a row on white, with an even height and width, as video wants them."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures)
    row = np.full((height + height % 2, width + width % 2, 3), 255, np.uint8)
    left = 0
    for picture in pictures:
        own_height, own_width = picture.shape[:2]
        top = (height - own_height) // 2
        row[top : top + own_height, left : left + own_width] = picture
        left += own_width
    return row
