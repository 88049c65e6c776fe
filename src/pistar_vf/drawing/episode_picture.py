"""One episode as a picture: key frames of every camera above, the value and its distribution below."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.drawing.curves import draw_line
from pistar_vf.typing import Bool, Float, UInt8

INTERVENTION = "#f2b134"
_NUM_PICTURES = 5
_DARKEST = 40  # times the probability of a uniform distribution


@dataclasses.dataclass(frozen=True)
class EpisodeView:
    """What is drawn of one episode.

    Attributes:
        title: shown above.
        value: V of every frame.
        probs: predicted distribution of every frame.
        support: its atoms.
        target: value label of every frame; None where nobody knows it.
        intervention: where the operator was driving.
    """

    title: str
    value: Float[np.ndarray, " t"]
    probs: Float[np.ndarray, "t atoms"]
    support: Support
    target: Float[np.ndarray, " t"] | None
    intervention: Bool[np.ndarray, " t"]


def draw_episode(view: EpisodeView, pictures: dict[str, UInt8[np.ndarray, "t h w 3"]], path: Path) -> Path:
    """Writes a PNG.

    Args:
        view: the episode.
        pictures: all frames of each camera, by its name.
        path: where to.
    """
    from matplotlib.figure import Figure  # not pyplot: no windows, and nothing that has to be closed

    num_rows = len(pictures) + 1
    figure = Figure(figsize=(10, 3.2 + 1.6 * len(pictures)), layout="constrained")
    figure.suptitle(view.title, fontsize=11)
    grid = figure.add_gridspec(num_rows, _NUM_PICTURES, height_ratios=(*[1.0] * len(pictures), 1.7))
    shown = np.linspace(0, len(view.value) - 1, _NUM_PICTURES).round().astype(int)
    for row, (name, frames) in enumerate(pictures.items()):
        for column, frame in enumerate(shown):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(frames[frame])
            axes.set_title(f"{name}, frame {frame}" if column == 0 else f"frame {frame}", fontsize=8)
            axes.axis("off")
    axes = figure.add_subplot(grid[-1, :])
    draw_value(axes, view)
    axes.vlines(shown, view.support.v_min, view.support.v_max, color="#bbbbbb", linewidth=0.8, zorder=1)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)
    return path


def draw_value(axes: Any, view: EpisodeView) -> None:
    """The predicted distribution as a strip of blues, interventions shaded, V and its label on top."""
    low, high, half = view.support.v_min, view.support.v_max, view.support.spacing / 2
    last = len(view.value) - 1
    strength = strip_strength(view.probs)
    axes.imshow(
        strength.T,
        extent=(-0.5, last + 0.5, low - half, high + half),
        origin="lower",
        aspect="auto",
        cmap="Blues",
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
        zorder=0,
    )
    spans = intervention_spans(view.intervention)
    for first, end in spans:
        axes.axvspan(first - 0.5, end - 0.5, color=INTERVENTION, alpha=0.35, linewidth=0, zorder=1)
    draw_line(axes, view.value, view.target)
    if spans:
        axes.plot([], [], color=INTERVENTION, alpha=0.35, linewidth=8, label="operator drives")
    margin = 0.05 * (high - low)
    axes.set(xlim=(-0.5, last + 0.5), ylim=(low - margin, high + margin), xlabel="frame", ylabel="V")


def strip_strength(probs: Float[np.ndarray, "t atoms"]) -> Float[np.ndarray, "t atoms"]:
    """How dark each atom is, in [0, 1], on one scale for all pictures: a fifth of the mass on an atom is darkest.

    The square root, as else one sure atom would pale a spread-out remainder. A model that knows nothing is pale: a
    uniform distribution over 201 atoms is 0.16 everywhere.
    """
    darkest = min(1.0, _DARKEST / probs.shape[1])
    return np.minimum(np.sqrt(np.asarray(probs, np.float32) / np.float32(darkest)), 1.0)


def intervention_spans(intervention: Bool[np.ndarray, " t"]) -> list[tuple[int, int]]:
    """First frame, and the frame after the last one, of every stretch in which the operator drove."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], intervention, [False]]).astype(np.int8)))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def without_padding(frames: UInt8[np.ndarray, "*t s s 3"], height: int, width: int) -> UInt8[np.ndarray, "*t h w 3"]:
    """Cuts off the borders that `data.video.resize_frame` adds when it fits a picture into a square.

    Args:
        frames: square.
        height: of the original picture, pixels.
        width: of the original picture.
    """
    side, longest = frames.shape[-2], max(height, width)
    height, width = max(1, height * side // longest), max(1, width * side // longest)
    top, left = (side - height) // 2, (side - width) // 2
    return frames[..., top : top + height, left : left + width, :]
