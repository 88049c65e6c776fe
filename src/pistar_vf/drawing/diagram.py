"""A value model as a picture: a box per component, an arrow per connection, one frame rising from inputs to loss."""

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pistar_vf.drawing.components import (
    ADAPTERS,
    CROSS_ATTENTION,
    DECODER,
    EMBEDDING,
    LANGUAGE_HEAD,
    PROJECTOR,
    STATE,
    VALUE_HEAD,
    VISION,
    Component,
)
from pistar_vf.drawing.sketches import Example, sketch_atoms, sketch_pictures, sketch_state

TRAINED, FROZEN, PLAIN = "#d3ecd9", "#dde3ec", "#ffffff"
_HEIGHT, _OUTPUT_HEIGHT, _GAP, _MARGIN = 0.62, 0.95, 0.06, 0.12
_IMAGES, _PROMPT, _ROBOT_STATE = "images", "prompt", "robot state"
_VALUE, _ANSWER = "value", "answer"

_PLACES = {
    _IMAGES: (0, 0, 1),
    _PROMPT: (1, 0, 1),
    _ROBOT_STATE: (2, 0, 1),
    VISION: (0, 1, 1),
    EMBEDDING: (1, 1, 1),
    STATE: (2, 1, 1),
    PROJECTOR: (0, 2, 1),
    CROSS_ATTENTION: (1, 2, 1),
    DECODER: (0, 3, 3),
    ADAPTERS: (3, 3, 1),
    VALUE_HEAD: (0, 4, 1),
    LANGUAGE_HEAD: (2, 4, 1),
    _VALUE: (0, 5, 2),
    _ANSWER: (2, 5, 1),
}
"""Name to (column, row from below, columns)."""

_INPUTS = {_IMAGES: VISION, _PROMPT: EMBEDDING, _ROBOT_STATE: STATE}
_ARROWS = (
    *_INPUTS.items(),
    (VISION, PROJECTOR),
    (PROJECTOR, CROSS_ATTENTION),
    (PROJECTOR, DECODER),
    (CROSS_ATTENTION, DECODER),
    (STATE, DECODER),
    (ADAPTERS, DECODER),
    (DECODER, VALUE_HEAD),
    (DECODER, LANGUAGE_HEAD),
    (VALUE_HEAD, _VALUE),
    (LANGUAGE_HEAD, _ANSWER),
)
_OUTPUTS = {
    VALUE_HEAD: (_VALUE, "V = Σ p z, loss = cross-entropy with the two-hot target"),
    LANGUAGE_HEAD: (_ANSWER, "to questions about pictures\nloss = cross-entropy\nof the answer's tokens"),
}


@dataclasses.dataclass(frozen=True)
class _Box:
    """Where a box is, in columns and rows."""

    left: float
    bottom: float
    width: float
    height: float = _HEIGHT

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def top(self) -> float:
        return self.bottom + self.height

    @property
    def middle(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.bottom + self.height / 2


def draw_components(
    title: str, components: Sequence[Component], path: Path, example: Example, num_atoms: int = 201
) -> Path:
    """Writes a PNG.

    Args:
        title: shown above.
        components: of `list_components`.
        path: where to.
        example: what is shown as the inputs.
        num_atoms: of the value distribution.
    """
    from matplotlib.figure import Figure  # not pyplot: no windows, and nothing that has to be closed

    texts = {c.name: "\n".join((c.name, *c.details, _count(c))) for c in components}
    colours = {c.name: TRAINED if c.num_trainable else FROZEN for c in components}
    texts |= {name: name for name, reader in _INPUTS.items() if reader in texts}
    texts |= {name: f"{name}\n{loss}" for head, (name, loss) in _OUTPUTS.items() if head in texts}
    columns = 4 if ADAPTERS in texts else 3
    figure = Figure(figsize=(3.1 * columns, 10.2))
    axes = figure.add_axes((0, 0, 1, 0.955))
    boxes = {name: _box(name) for name in texts}
    for name, text in texts.items():
        _draw_box(axes, boxes[name], text, colours.get(name, PLAIN))
    for source, target in _arrows(boxes):
        _draw_arrow(axes, boxes[source], boxes[target])
    axes.text(_GAP, -0.16, "green: trained, blue: frozen, white: inputs and outputs", fontsize=8)
    axes.set(xlim=(-_MARGIN, columns + _MARGIN), ylim=(-0.32, 5 + _OUTPUT_HEIGHT + 0.05), title=title)
    axes.axis("off")
    _sketch(axes, boxes, example, num_atoms)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _sketch(axes: Any, boxes: dict[str, _Box], example: Example, num_atoms: int) -> None:
    """The inputs of one frame, and what becomes of them."""
    sketch_pictures(axes, _inside(boxes[_IMAGES]), example.pictures)
    prompt = textwrap.fill(f"“{example.prompt}”", 28)
    axes.text(*boxes[_PROMPT].middle, f"{prompt}\nValue:", ha="center", va="center", fontsize=9, style="italic")
    if _ROBOT_STATE in boxes:
        sketch_state(axes, _inside(boxes[_ROBOT_STATE]), example.state)
    left, bottom, width, height = _inside(boxes[_VALUE])
    sketch_atoms(axes, (left + 0.05, bottom + 0.08, width - 0.1, height - 0.28), num_atoms)


def _inside(box: _Box) -> tuple[float, float, float, float]:
    """What the name of a box leaves free."""
    return box.left + 0.03, box.bottom + 0.04, box.width - 0.06, box.height - 0.2


def _count(component: Component) -> str:
    if component.num_parameters == 0:
        return "no parameters of its own"
    return f"{component.num_parameters:,} parameters"


def _box(name: str) -> _Box:
    column, row, columns = _PLACES[name]
    height = _OUTPUT_HEIGHT if name in (_VALUE, _ANSWER) else _HEIGHT
    return _Box(column + _GAP, float(row), columns - 2 * _GAP, height)


def _arrows(boxes: dict[str, _Box]) -> list[tuple[str, str]]:
    """The connections between the boxes that there are; without fusion the text goes straight into the decoder."""
    text = (EMBEDDING, CROSS_ATTENTION if CROSS_ATTENTION in boxes else DECODER)
    return [pair for pair in (*_ARROWS, text) if pair[0] in boxes and pair[1] in boxes]


def _draw_box(axes: Any, box: _Box, text: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.04"
    axes.add_patch(
        FancyBboxPatch(
            (box.left, box.bottom), box.width, box.height, boxstyle=style, facecolor=colour, edgecolor="#44506a"
        )
    )
    name, _, rest = text.partition("\n")
    x, _ = box.middle
    axes.text(x, box.top - 0.05, name, ha="center", va="top", weight="bold")
    axes.text(x, box.top - 0.18, rest, ha="center", va="top", fontsize=8, linespacing=1.4)


def _draw_arrow(axes: Any, source: _Box, target: _Box) -> None:
    """Upwards from the narrower of the two boxes' middle, or sideways between boxes of one row."""
    if source.bottom == target.bottom:
        y = source.middle[1]
        start, end = ((source.right, y), (target.left, y))
        if source.left > target.left:
            start, end = ((source.left, y), (target.right, y))
    else:
        x = min(source, target, key=lambda box: box.width).middle[0]
        start, end = (x, source.top), (x, target.bottom)
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": "#44506a"})
