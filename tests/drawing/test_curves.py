"""The picture is drawn, and shows the curve where it should."""

import numpy as np
from PIL import Image

from pistar_vf.drawing.curves import Curve, draw_curves


def shows(path, colour: tuple[int, int, int]) -> bool:
    """Whether some pixel has (almost) this colour; thin lines are antialiased."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return bool((np.abs(pixels - colour).max(axis=-1) < 25).any())


def curve(value: list[float], other=None) -> Curve:
    value = np.array(value, np.float32)
    pictures = np.zeros((len(value), 8, 8, 3), np.uint8)
    pictures[..., 0] = 200
    return Curve("one episode", value, np.linspace(-1, 0, len(value)).astype(np.float32), pictures, other)


def test_pictures_label_and_other_curve_are_in_the_file(tmp_path):
    drawn = [curve([-0.9, -0.2, -0.1, -0.8, -0.4, -0.3], ("another prompt", np.full(6, -0.5, np.float32)))]
    path = draw_curves(drawn, tmp_path / "folder" / "curves.png")
    picture, rise, drop, label, other = (200, 0, 0), (42, 157, 87), (209, 73, 91), (138, 143, 152), (61, 90, 128)
    assert all(shows(path, colour) for colour in (picture, rise, drop, label, other))
    assert not shows(draw_curves([curve([-0.9, -0.2])], tmp_path / "alone.png"), other)


def test_a_curve_that_only_rises_has_one_red_stroke_less(tmp_path):
    def red(values, name):
        pixels = np.asarray(Image.open(draw_curves([curve(values)], tmp_path / name)).convert("RGB"))
        return int((pixels == (209, 73, 91)).all(axis=-1).sum())

    # The legend shows a red stroke either way; a drop adds to it.
    assert red([-0.9, -0.6, -0.3, -0.1], "rise.png") < red([-0.1, -0.3, -0.6, -0.9], "drop.png")
