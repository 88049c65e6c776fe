"""Draws the arm world with Pillow, at four times the size and averaged down."""

import dataclasses
import math

import numpy as np
from PIL import Image, ImageDraw

from pistar_vf.testing import arm_world as world
from pistar_vf.typing import UInt8

_OVERSAMPLING = 4
_COLOURS = {
    "wall": (222, 218, 208),
    "floor": (150, 142, 132),
    "table": (166, 120, 74),
    "leg": (120, 84, 50),
    "bin": (72, 78, 86),
    "inside": (236, 236, 230),
    "link": (238, 238, 242),
    "joint": (92, 100, 112),
    "red": (214, 40, 40),
    "blue": (30, 84, 214),
}


@dataclasses.dataclass(frozen=True)
class View:
    """What a camera sees: a square of the world.

    Attributes:
        x: of its centre.
        y: of its centre.
        half_width: half the side of the square, world units.
        brightness: factor on every colour.
    """

    x: float
    y: float
    half_width: float
    brightness: float = 1.0


def render(snapshot: world.Snapshot, view: View, size: int) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the world at one tick.

    Args:
        snapshot: the world.
        view: the camera.
        size: side of the picture, pixels.
    """
    pen = _Pen(view, size * _OVERSAMPLING)
    _draw_scenery(pen)
    for colour, (x, y) in snapshot.blocks.items():
        half = world.BLOCK / 2
        pen.box(x - half, y - half, x + half, y + half, colour)
    _draw_bin_walls(pen)
    _draw_arm(pen, snapshot)
    return np.asarray(pen.image.reduce(_OVERSAMPLING))


class _Pen:
    """Draws shapes given in world units."""

    def __init__(self, view: View, side: int):
        self.view, self.scale, self.side = view, side / (2 * view.half_width), side
        self.image = Image.new("RGB", (side, side), self.colour("wall"))
        self.draw = ImageDraw.Draw(self.image)

    def colour(self, name: str) -> tuple[int, ...]:
        return tuple(min(255, round(channel * self.view.brightness)) for channel in _COLOURS[name])

    def point(self, x: float, y: float) -> tuple[float, float]:
        half = self.view.half_width
        return (x - self.view.x + half) * self.scale, (self.view.y + half - y) * self.scale

    def box(self, left: float, bottom: float, right: float, top: float, colour: str) -> None:
        self.draw.rectangle((*self.point(left, top), *self.point(right, bottom)), fill=self.colour(colour))

    def rod(self, start: tuple[float, float], end: tuple[float, float], width: float, colour: str) -> None:
        points = [self.point(*start), self.point(*end)]
        self.draw.line(points, fill=self.colour(colour), width=max(1, round(width * self.scale)))

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        (left, top), (right, bottom) = self.point(x - radius, y + radius), self.point(x + radius, y - radius)
        self.draw.ellipse((left, top, right, bottom), fill=self.colour(colour))


def _draw_scenery(pen: _Pen) -> None:
    pen.box(-3.0, -3.0, 3.0, 0.0, "floor")
    edge, top = world.TABLE_HALF_WIDTH, world.TABLE_TOP
    pen.box(-edge, top - 0.08, edge, top, "table")
    for side in (-1.0, 1.0):
        pen.rod((side * (edge - 0.06), top - 0.08), (side * (edge - 0.06), 0.0), 0.05, "leg")
        x = side * world.BIN_X
        pen.box(x - world.BIN_HALF_WIDTH, 0.0, x + world.BIN_HALF_WIDTH, world.BIN_TOP, "inside")


def _draw_bin_walls(pen: _Pen) -> None:
    for x in (-world.BIN_X, world.BIN_X):
        left, right = x - world.BIN_HALF_WIDTH, x + world.BIN_HALF_WIDTH
        pen.box(left, 0.0, right, world.BIN_BOTTOM, "bin")
        for wall in (left, right):
            pen.box(wall - 0.025, 0.0, wall + 0.025, world.BIN_TOP, "bin")


def _draw_arm(pen: _Pen, snapshot: world.Snapshot) -> None:
    shoulder = snapshot.joints[0]
    elbow = (
        world.MOUNT[0] + world.LINK * math.sin(shoulder),
        world.MOUNT[1] - world.LINK * math.cos(shoulder),
    )
    wrist = (snapshot.x, snapshot.y + world.WRIST_HEIGHT)
    pen.box(-0.2, world.MOUNT[1] - 0.03, 0.2, 3.0, "joint")
    for start, end in ((world.MOUNT, elbow), (elbow, wrist)):
        pen.rod(start, end, 0.12, "joint")
        pen.rod(start, end, 0.08, "link")
    for x, y in (world.MOUNT, elbow, wrist):
        pen.disc(x, y, 0.075, "joint")
    finger = 0.09 + 0.09 * snapshot.opening
    pen.box(wrist[0] - finger - 0.02, wrist[1] - 0.06, wrist[0] + finger + 0.02, wrist[1], "joint")
    for x in (wrist[0] - finger, wrist[0] + finger):
        pen.rod((x, wrist[1]), (x, snapshot.y - 0.06), 0.04, "joint")
