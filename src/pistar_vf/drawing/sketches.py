"""Small drawings inside the boxes of a diagram: what goes in and what comes out, not only its sizes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.typing import UInt8

TARGET, PREDICTED, LINE = "#d1495b", "#3d5a80", "#44506a"
_LABEL = -0.3124
"""The label of the sketched frame: between two atoms, so that the target has two."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One frame, to be shown in place of the words "images" and "prompt".

    Attributes:
        pictures: of its cameras.
        prompt: of its task.
        state: of the robot.
    """

    pictures: Sequence[UInt8[np.ndarray, "_h _w 3"]]
    prompt: str
    state: Sequence[float]


def sketch_pictures(axes: Any, place: tuple[float, float, float, float], pictures: Sequence[np.ndarray]) -> None:
    """Pictures in a row; `place` is left, bottom, width and height in the units of `axes`."""
    left, bottom, width, height = place
    for index, picture in enumerate(pictures):
        part = (left + index * width / len(pictures), bottom, width / len(pictures), height)
        inset = axes.inset_axes(part, transform=axes.transData)
        inset.imshow(picture)
        inset.axis("off")


def sketch_state(axes: Any, place: tuple[float, float, float, float], state: Sequence[float]) -> None:
    """A bar per number."""
    inset = axes.inset_axes(place, transform=axes.transData)
    inset.bar(range(len(state)), state, color=PREDICTED, width=0.7)
    inset.axhline(0, color=LINE, linewidth=0.6)
    inset.axis("off")


def sketch_atoms(axes: Any, place: tuple[float, float, float, float], num_atoms: int) -> None:
    """A predicted distribution over all atoms, and the two atoms that share a label, enlarged beside it."""
    left, bottom, width, height = place
    support = Support(num_atoms=num_atoms)
    atoms = np.linspace(support.v_min, support.v_max, num_atoms)
    weights = np.exp(-0.5 * ((atoms - _LABEL) / 0.07) ** 2) + 0.25 * np.exp(-0.5 * ((atoms + 0.55) / 0.05) ** 2)
    whole = axes.inset_axes((left, bottom, 0.62 * width, height), transform=axes.transData)
    whole.bar(atoms, weights / weights.sum(), width=support.spacing, color=PREDICTED)
    whole.set(yticks=[], xticks=[-1, -0.5, 0])
    _plain(whole, f"prediction: {num_atoms} atoms on [-1, 0]")
    below = int((_LABEL - support.v_min) / support.spacing)
    near = slice(below - 1, below + 3)
    share = (_LABEL - atoms[below]) / support.spacing
    target = np.zeros(num_atoms)
    target[[below, below + 1]] = 1 - share, share
    part = axes.inset_axes((left + 0.7 * width, bottom, 0.3 * width, height), transform=axes.transData)
    part.bar(atoms[near], target[near], width=0.6 * support.spacing, color=TARGET)
    part.axvline(_LABEL, color=LINE, linewidth=0.8, linestyle=":")
    part.set(yticks=[], xticks=[atoms[below], atoms[below + 1]])
    part.set_xticklabels([f"{atom:.3f}" for atom in atoms[[below, below + 1]]])
    _plain(part, f"two-hot target of {_LABEL}")


def _plain(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=8, pad=3)
    axes.tick_params(labelsize=7, length=2, pad=1)
    axes.patch.set_alpha(0.0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
