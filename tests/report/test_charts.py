"""Charts: places of points by hand, and what must never happen to them."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from pistar_vf.report.charts import Bars, Line, Plot, draw, nice_ticks


def drawn(plot: Plot) -> ElementTree.Element:
    return ElementTree.fromstring(draw(plot))


def points(figure: ElementTree.Element, name: str = "polyline") -> list[list[tuple[float, float]]]:
    found = figure.findall(f".//{name}")
    return [[tuple(map(float, pair.split(","))) for pair in one.get("points").split()] for one in found]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-1.0, 0.0, [-1.0, -0.8, -0.6, -0.4, -0.2, 0.0]),
        (0.0, 2400.0, [0.0, 500.0, 1000.0, 1500.0, 2000.0]),
        (-0.013, 0.02, [-0.01, 0.0, 0.01, 0.02]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    found = nice_ticks(low, high)
    assert found == pytest.approx(expected)
    assert all(str(tick) != "-0.0" for tick in found)


def test_a_line_fills_the_axes():
    """The axes are 54 … 408 by 12 … 208 pixels: the corners of y = x are theirs."""
    x = np.array([0.0, 1.0])
    (line,) = points(drawn(Plot("t", "x", (Line("a", x, x),), x_range=(0.0, 1.0), y_range=(0.0, 1.0))))
    assert line == [(54.0, 208.0), (408.0, 12.0)]


def test_what_is_no_number_is_left_out_and_what_is_outside_is_cut():
    x = np.array([0.0, 0.5, 1.0])
    plot = Plot("t", "x", (Line("a", x, np.array([0.0, np.nan, 9.0])),), x_range=(0.0, 1.0), y_range=(0.0, 1.0))
    assert points(drawn(plot)) == [[(54.0, 208.0), (408.0, 12.0)]]


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [2.0, 2.0], [0.0, 0.0], [1e-9, 2e-9], [-5e6, 5e6]])
def test_any_numbers_can_be_drawn(values):
    y = np.array(values)
    text = draw(Plot("t", "x", (Line("a", np.arange(len(y)), y, dots=True),)))
    assert not re.search("nan|inf", text)


def test_bars_stand_on_the_axis_and_a_threshold_among_them():
    bars = Bars("frames", np.array([0.0, 1.0, 2.0]), np.array([4.0, 2.0]))
    figure = drawn(Plot("t", "x", bars=(bars,), marks=(("threshold 0.5", 0.5),)))
    first, second = figure.findall(".//rect")
    assert float(first.get("height")) == pytest.approx(2 * float(second.get("height")))
    for bar in (first, second):
        assert float(bar.get("y")) + float(bar.get("height")) == pytest.approx(208, abs=0.1)
    (mark,) = figure.findall(".//line[@class='mark']")
    assert float(mark.get("x1")) == pytest.approx(54 + (408 - 54) / 4, abs=0.1)
    assert "threshold 0.5" in [item.text or item[0].tail for item in figure.findall(".//li")]


def test_a_band_goes_there_and_back():
    x = np.array([0.0, 1.0])
    line = Line("a", x, x, band=(x - 0.1, x + 0.1))
    (band,) = points(drawn(Plot("t", "x", (line,), x_range=(0.0, 1.0), y_range=(-0.1, 1.1))), "polygon")
    assert [across for across, _ in band] == [54.0, 408.0, 408.0, 54.0]


def test_names_are_text():
    evil = '<script>alert("1")</script>'
    text = draw(Plot(evil, evil, (Line(evil, np.arange(2), np.arange(2)),), marks=((evil, 0.5),)))
    assert "<script" not in text
    ElementTree.fromstring(text)
