"""Small charts as SVG that follows the page: its colours, dark and light, and its width."""

import dataclasses
from html import escape

import numpy as np

from pistar_vf.typing import Float, Shaped

_WIDTH, _HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 12, 42
_NUM_COLOURS = 6


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: for the legend.
        x: rising.
        y: NaN where there is nothing to draw.
        colour: a number, or "good", "bad" or "quiet".
        dashed: drawn so.
        dots: a dot at every point.
        band: (low, high) around it, shaded.
    """

    name: str
    x: Shaped[np.ndarray, " n"]
    y: Shaped[np.ndarray, " n"]
    colour: int | str = 0
    dashed: bool = False
    dots: bool = False
    band: tuple[np.ndarray, np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class Bars:
    """A histogram.

    Attributes:
        name: for the legend.
        edges: of the bars, one more than there are.
        heights: from 0.
        colour: as of a line.
    """

    name: str
    edges: Float[np.ndarray, " m"]
    heights: Float[np.ndarray, " n"]
    colour: int | str = "quiet"


@dataclasses.dataclass(frozen=True)
class Plot:
    """A chart.

    Attributes:
        title: above it.
        x_label: below it.
        lines: curves, drawn over the bars.
        bars: histograms.
        marks: name and place of vertical lines.
        y_range: of the axis; None follows the data.
        x_range: likewise.
    """

    title: str
    x_label: str
    lines: tuple[Line, ...] = ()
    bars: tuple[Bars, ...] = ()
    marks: tuple[tuple[str, float], ...] = ()
    y_range: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about so many."""
    span = high - low
    raw = span / count
    size = 10.0 ** np.floor(np.log10(raw))
    step = size * next(factor for factor in (1, 2, 5, 10) if factor * size >= raw * 0.999)
    first = np.ceil(low / step - 1e-9)
    return [float(number * step) + 0.0 for number in np.arange(first, np.floor(high / step + 1e-9) + 1)]  # no -0


def draw(plot: Plot) -> str:
    """A figure: title, SVG, legend."""
    axes = _Axes.of(plot)
    inside = [*axes.grid(), *(axes.bars(bars) for bars in plot.bars), *(axes.line(line) for line in plot.lines)]
    inside += [axes.mark(place) for _, place in plot.marks]
    label = (
        f'<text class="axis" x="{_WIDTH / 2:g}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(plot.x_label)}</text>'
    )
    return (
        f"<figure><figcaption>{escape(plot.title)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(plot.title, quote=True)}">'
        f"{''.join(inside)}{label}</svg>{_legend(plot)}</figure>"
    )


@dataclasses.dataclass(frozen=True)
class _Axes:
    """From numbers to places."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def of(cls, plot: Plot) -> "_Axes":
        x = (
            [line.x for line in plot.lines]
            + [bars.edges for bars in plot.bars]
            + [np.array([m[1]]) for m in plot.marks]
        )
        y = [line.y for line in plot.lines] + [np.append(bars.heights, 0.0) for bars in plot.bars]
        y += [edge for line in plot.lines if line.band is not None for edge in line.band]
        return cls(plot.x_range or _range(x, 0.0), plot.y_range or _range(y, 0.0 if plot.bars else 0.05))

    def place(self, x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
        """Pixels of points, those that are not numbers left out."""
        (left, right), (low, high) = self.x, self.y
        known = np.isfinite(x) & np.isfinite(y)
        across = _LEFT + (np.asarray(x, float) - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)
        clipped = np.clip(np.asarray(y, float), low, high)
        down = _HEIGHT - _BOTTOM - (clipped - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return [(float(a), float(b)) for a, b in zip(across[known], down[known])]

    def grid(self) -> list[str]:
        parts = []
        for tick in nice_ticks(*self.y):
            (_, down), right = self.place(np.array([self.x[0]]), np.array([tick]))[0], _WIDTH - _RIGHT
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{down:.1f}" y2="{down:.1f}"/>')
            end = f'x="{_LEFT - 6}" y="{down + 4:.1f}" text-anchor="end"'
            parts.append(f'<text class="axis" {end}>{_number(tick)}</text>')
        for tick in nice_ticks(*self.x, count=4):
            across, down = self.place(np.array([tick]), np.array([self.y[0]]))[0]
            middle = f'x="{across:.1f}" y="{down + 17:.1f}" text-anchor="middle"'
            parts.append(f'<text class="axis" {middle}>{_number(tick)}</text>')
        return parts

    def line(self, line: Line) -> str:
        colour, points = _colour(line.colour), self.place(line.x, line.y)
        parts = []
        if line.band is not None:
            low, high = (self.place(line.x, edge) for edge in line.band)
            parts.append(f'<polygon class="band {colour}" points="{_points([*low, *reversed(high)])}"/>')
        dashed = " dashed" if line.dashed else ""
        parts.append(f'<polyline class="line{dashed} {colour}" points="{_points(points)}"/>')
        if line.dots or len(points) == 1:
            parts += [f'<circle class="dot {colour}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in points]
        return "".join(parts)

    def bars(self, bars: Bars) -> str:
        places = zip(self.place(bars.edges[:-1], bars.heights), self.place(bars.edges[1:], 0.0 * bars.heights))
        shapes = [
            f'<rect x="{a:.1f}" y="{top:.1f}" width="{max(0.5, b - a):.1f}" height="{bottom - top:.1f}"/>'
            for (a, top), (b, bottom) in places
        ]
        return f'<g class="bars {_colour(bars.colour)}">{"".join(shapes)}</g>'

    def mark(self, place: float) -> str:
        across = self.place(np.array([place]), np.array([self.y[0]]))[0][0]
        return f'<line class="mark" x1="{across:.1f}" x2="{across:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'


def _range(arrays: list[np.ndarray], margin: float) -> tuple[float, float]:
    """Of all numbers, with some room; around a single one, too."""
    numbers = np.concatenate([np.ravel(array).astype(float) for array in arrays]) if arrays else np.zeros(0)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
    room = margin * (high - low)
    if high - low <= 1e-12 * max(1.0, abs(high)):
        room = 0.5 * max(abs(high), 1e-6)
    return low - room, high + room


def _points(places: list[tuple[float, float]]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in places)


def _colour(colour: int | str) -> str:
    return f"c{colour % _NUM_COLOURS}" if isinstance(colour, int) else colour


def _number(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.6g}"
    return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-").replace("e+0", "e")


def _legend(plot: Plot) -> str:
    keys = [(line.name, _colour(line.colour), " dashed" if line.dashed else "") for line in plot.lines]
    keys += [(bars.name, _colour(bars.colour), "") for bars in plot.bars]
    keys += [(name, "mark", "") for name, _ in plot.marks]
    items = "".join(f'<li><i class="{colour}{how}"></i>{escape(name)}</li>' for name, colour, how in keys if name)
    return f'<ul class="legend">{items}</ul>' if items else ""
