"""Value curves beside the pictures they belong to."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.typing import Float, UInt8

_NUM_PICTURES = 5
RISE, DROP, HOLD, LABEL = "#2a9d57", "#d1495b", "#5b5b7a", "#8a8f98"
_STEADY = 0.01
"""Of the mean pace that would take V through its whole range in one episode: slower is neither rising nor dropping."""
_NOISE = 2e-6  # of a float32 V, whatever the pace


@dataclasses.dataclass(frozen=True)
class Curve:
    """One episode to draw.

    Attributes:
        title: shown above.
        value: V of every frame.
        target: value label of every frame.
        pictures: all frames of one camera, uint8.
        other: V under another condition, drawn dashed, and its name; None for none.
    """

    title: str
    value: np.ndarray
    target: np.ndarray
    pictures: UInt8[np.ndarray, "t h w 3"]
    other: tuple[str, np.ndarray] | None = None


def draw_curves(curves: list[Curve], path: Path) -> Path:
    """Writes a PNG: per episode a strip of pictures and, below, V over time.

    V is green where it rises and red where it falls, the label is grey.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6 * len(curves)), layout="constrained")
    rows = figure.subfigures(len(curves), 1, squeeze=False)[:, 0]
    for row, curve in zip(rows, curves):
        row.suptitle(curve.title, fontsize=11)
        grid = row.add_gridspec(2, _NUM_PICTURES, height_ratios=(1, 1.5))
        shown = np.linspace(0, len(curve.value) - 1, _NUM_PICTURES).round().astype(int)
        for column, frame in enumerate(shown):
            axes = row.add_subplot(grid[0, column])
            axes.imshow(curve.pictures[frame])
            axes.set_title(f"frame {frame}", fontsize=8)
            axes.axis("off")
        _draw_value(row.add_subplot(grid[1, :]), curve, shown)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def value_segments(value: Float[np.ndarray, " t"]) -> tuple[Float[np.ndarray, "n 2 2"], list[str]]:
    """The curve as t - 1 strokes (start and end, each frame and V) and their colours.

    Green where V rises, red where it drops, slate where it holds: a change of less than a hundredth of 1 / t says
    nothing.
    """
    points = np.stack([np.arange(len(value)), value], axis=1).astype(np.float64)
    segments = np.stack([points[:-1], points[1:]], axis=1)
    change, least = np.diff(points[:, 1]), max(_NOISE, _STEADY / len(value))
    return segments, np.select([change >= least, change <= -least], [RISE, DROP], HOLD).tolist()


def draw_line(axes: Any, value: Float[np.ndarray, " t"], target: Float[np.ndarray, " t"] | None) -> None:
    """V in two colours, and the label in grey where there is one."""
    from matplotlib.collections import LineCollection

    segments, colours = value_segments(value)
    axes.add_collection(LineCollection(list(segments), colors=colours, linewidths=2.2))
    axes.plot([], [], color=RISE, linewidth=2.2, label="V rises")
    axes.plot([], [], color=DROP, linewidth=2.2, label="V drops")
    if HOLD in colours:
        axes.plot([], [], color=HOLD, linewidth=2.2, label="V holds")
    if target is not None:
        axes.plot(np.arange(len(value)), target, color=LABEL, linewidth=1, label="label")


def _draw_value(axes: Any, curve: Curve, shown: np.ndarray) -> None:
    draw_line(axes, curve.value, curve.target)
    time = np.arange(len(curve.value))
    if curve.other is not None:
        name, value = curve.other
        axes.plot(time, value, color="#3d5a80", linewidth=1.2, linestyle="--", label=name)
    axes.vlines(shown, -1.05, 0.05, color="#dddddd", linewidth=0.8, zorder=0)
    axes.set(xlim=(0, len(time) - 1), ylim=(-1.05, 0.05), xlabel="frame", ylabel="V (normalised return)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
