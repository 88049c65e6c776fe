"""The curves of runs."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.drawing.run_curves import METRICS_FILE, PANELS, RunMetrics, read_metrics
from pistar_vf.errors import ConfigError
from pistar_vf.report.charts import Line, Plot
from pistar_vf.report.content import Paragraph, Section

_log = logging.getLogger(__name__)

_FEW_POINTS = 25


def runs_of(checkpoints: Sequence[Path]) -> list[RunMetrics]:
    """The runs that checkpoints are from, each once; those whose records are gone are left out.

    So are those whose records cannot be read, as a run that was killed may leave them, and the log says so: curves are
    no reason to lose a report, or the labels that are written after it.
    """
    folders = [
        folder for path in checkpoints for folder in (path, *path.parents[:2]) if (folder / METRICS_FILE).is_file()
    ]
    runs = []
    for folder in dict.fromkeys(folders):
        try:
            runs.append(read_metrics(folder))
        except ConfigError as error:
            _log.warning("the curves of this run are not shown: %s", error)
    return runs


def training_section(runs: Sequence[RunMetrics]) -> Section:
    """A plot of every measure that a run has; a colour per run."""
    plots = tuple(_plot(panel, runs) for panel in PANELS if any(run.has(panel) for run in runs))
    missing = Paragraph(f"No {METRICS_FILE} that can be read lies beside the checkpoint.", "doubt")
    return Section("Training", plots or (missing,))


def _plot(panel: str, runs: Sequence[RunMetrics]) -> Plot:
    title, keys = PANELS[panel]
    lines = []
    for colour, run in enumerate(runs):
        both = ("train", panel) in run.series and ("val", panel) in run.series
        for (split, key), (steps, values) in run.series.items():
            if key not in keys:
                continue
            name = key if len(keys) > 1 else split if both else ""
            name = f"{run.name} {name}".strip() if len(runs) > 1 else name
            dots = split == "val" and len(steps) < _FEW_POINTS
            dashed = key != panel or (both and split == "val")
            lines.append(Line(name, steps, values, colour, dashed, dots))
    return Plot(title.split(";")[0].split(" (")[0], "step", tuple(lines))
