"""Training and validation curves of runs, from their `metrics.jsonl`."""

import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.errors import ConfigError

_log = logging.getLogger(__name__)

METRICS_FILE, CURVES_FILE = "metrics.jsonl", "curves.png"
_COLOURS = ("#3d5a80", "#d1495b", "#2a9d57", "#f2b134", "#7b5ea7", "#5c677d")
_COLUMNS = 3

PANELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "loss": ("loss (validation dashed)", ("loss",)),
    "value_loss": ("loss of values", ("value_loss",)),
    "language_loss": ("loss of answers (validation dashed)", ("language_loss",)),
    "answers_right": ("share of held-out answers that are right", ("answers_right",)),
    "mae": ("error of V; dotted: with other frames' images", ("mae", "mae_images_shuffled")),
    "spearman": ("rank correlation with the labels", ("spearman",)),
    "value_std": ("spread of V on held-out frames", ("value_std",)),
    "top1": ("right atom among the first 1 and 5", ("top1", "top5")),
    "learning_rate": ("learning rate", ("learning_rate",)),
}
"""What is drawn where a run has it: the key that decides, the title, and the keys of the lines."""


@dataclasses.dataclass(frozen=True)
class RunMetrics:
    """The numbers of one run.

    Attributes:
        name: of the run, for the legend.
        series: (split, key) to (steps, values), steps rising.
    """

    name: str
    series: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]

    def has(self, key: str) -> bool:
        """Whether any split has this number."""
        return any(own == key for _, own in self.series)


def read_metrics(run: Path) -> RunMetrics:
    """Reads a training directory's `metrics.jsonl`.

    Of a step that was recorded twice, as a resumed run does it, the later record counts.

    Raises:
        ConfigError: there is no such file, it has no numbers, or a line of it cannot be read.
    """
    path = Path(run).expanduser()
    path = path / METRICS_FILE if path.is_dir() else path
    if not path.is_file():
        raise ConfigError(f"{path}: expected the {METRICS_FILE} of a run, found nothing; name a training directory")
    steps: dict[tuple[str, str], dict[int, float]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            record = json.loads(line)
            step, split = int(record.pop("step")), str(record.pop("split"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{path}, line {number}: expected a record with step and split, got {line[:60]!r}; remove the line"
            ) from error
        for key, value in record.items():
            steps.setdefault((split, key), {})[step] = value
    if not steps:
        raise ConfigError(f"{path}: expected records, it is empty; the run has not logged anything yet")
    series = {key: _rising(values) for key, values in steps.items()}
    return RunMetrics(path.parent.name or str(path.parent), series)


def _rising(values: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    steps = sorted(values)
    return np.array(steps), np.array([values[step] for step in steps], np.float64)


def draw_run_curves(runs: Sequence[RunMetrics], path: Path) -> Path:
    """Writes a PNG with one panel per measure that a run has; a colour per run.

    Args:
        runs: at least one.
        path: where to.
    """
    from matplotlib.figure import Figure  # not pyplot: no windows, and nothing that has to be closed

    panels = [key for key in PANELS if any(run.has(key) for run in runs)]
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    height = 2.7 * rows + 0.5
    figure = Figure(figsize=(3.9 * columns, height))
    # In inches, as the automatic layouts take longer than the drawing.
    figure.subplots_adjust(0.5 / 3.9 / columns, 0.8 / height, 1 - 0.04, 1 - 0.35 / height, 0.22, 0.42)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, key in zip(grid, panels):
        _draw_panel(axes, key, runs)
    for axes in grid[len(panels) :]:
        axes.axis("off")
    handles = [_line(grid[0], run.name, colour) for run, colour in zip(runs, _colours(runs))]
    figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    return path


def draw_own_curves(run: Path) -> None:
    """Draws a run's curves into its folder; where that fails, it says so: no reason to lose a run at its end."""
    try:
        draw_run_curves([read_metrics(run)], Path(run) / CURVES_FILE)
    except Exception as error:
        _log.warning("%s was not drawn: %s; `pistar-vf curves %s` tries again", CURVES_FILE, error, run)


def _colours(runs: Sequence[RunMetrics]) -> list[str]:
    return [_COLOURS[index % len(_COLOURS)] for index in range(len(runs))]


def _line(axes: Any, name: str, colour: str) -> Any:
    return axes.plot([], [], color=colour, linewidth=2, label=name)[0]


def _draw_panel(axes: Any, panel: str, runs: Sequence[RunMetrics]) -> None:
    title, keys = PANELS[panel]
    both = any(("train", panel) in run.series and ("val", panel) in run.series for run in runs)
    for run, colour in zip(runs, _colours(runs)):
        for (split, key), (steps, values) in run.series.items():
            if key in keys:
                style = ":" if key != panel else "--" if split == "val" and both else "-"
                marker = "o" if len(steps) < 25 and split == "val" else None
                axes.plot(steps, values, color=colour, linestyle=style, linewidth=1.4, marker=marker, markersize=3)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
