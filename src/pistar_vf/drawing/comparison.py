"""What came before, beside what is here: a value function on the backbone of a 4B VLA, in the same tables and pictures.

Its sizes are those of the published Gemma 3 4B (its `config.json`: 34 layers, 2560 wide, 4 of 8 heads for keys and
values) and of the SigLIP tower in front of it; numbers of parameters follow from them. A VLA's action expert is no part
of a value function and is left out.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from pistar_vf.drawing.components import Component, list_components
from pistar_vf.models import siglip
from pistar_vf.models.gemma3 import Gemma3Config
from pistar_vf.models.value_config import ValueModelConfig

GEMMA3_4B = Gemma3Config(
    width=2560,
    depth=34,
    mlp_dim=10240,
    num_heads=8,
    num_kv_heads=4,
    head_dim=256,
    vocab_size=262_208,
    bidirectional=False,
)
_COLOURS = ("#7a93b8", "#2a9d57", "#c9d4e5", "#f2b134", "#e07a5f", "#3d5a80", "#7b5ea7", "#d1495b", "#aaaaaa")


def previous_components(cameras: tuple[str, ...]) -> list[Component]:
    """The parts of a value function on Gemma 3 4B, all of it trained, without a robot state."""
    config = ValueModelConfig(
        siglip=dataclasses.replace(siglip.VARIANTS["So400m/14"], image_size=896),
        gemma=GEMMA3_4B,
        cameras=cameras,
        state_encoding="none",
        fusion="none",
        readout="last_token",
        head="linear",
        image_pool=4,
    )
    return list_components(config, "none")


def side_by_side(models: Mapping[str, Sequence[Component]]) -> str:
    """A table with a column of parameters, in millions, per model."""
    names = list(dict.fromkeys(part.name for parts in models.values() for part in parts))
    counts = {model: {part.name: part.num_parameters for part in parts} for model, parts in models.items()}
    rows = [("millions of parameters", *models)]
    rows += [(name, *(f"{own[name] / 1e6:,.2f}" if name in own else "–" for own in counts.values())) for name in names]
    rows.append(("total", *(f"{sum(own.values()) / 1e6:,.2f}" for own in counts.values())))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        f"{row[0]:<{widths[0]}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:]))
        for row in rows
    )


def draw_comparison(models: Mapping[str, Sequence[Component]], path: Path) -> Path:
    """Writes a PNG: a bar per model, to one scale, divided into its parts."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(part.name for parts in models.values() for part in parts if part.num_parameters))
    figure = Figure(figsize=(9.3, 1.7 + 0.55 * len(models)), layout="constrained")
    axes = figure.add_subplot()
    for row, parts in enumerate(models.values()):
        start = 0.0
        for part in parts:
            if part.num_parameters:
                width = part.num_parameters / 1e6
                axes.barh(row, width, left=start, color=_COLOURS[names.index(part.name) % len(_COLOURS)], height=0.7)
                start += width
        axes.text(start, row, f"  {start:,.0f} M", va="center", fontsize=9)
    for name, colour in zip(names, _COLOURS):
        axes.bar(0, 0, color=colour, label=name)
    axes.set_yticks(range(len(models)), list(models))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(sum(part.num_parameters for part in parts) for parts in models.values()) / 1e6)
    axes.set_xlabel("millions of parameters")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=4, frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
