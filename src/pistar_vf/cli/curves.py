"""`pistar-vf curves`: training and validation curves of runs, side by side."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class CurvesArgs:
    """Draw the training and validation curves of one or several runs from their metrics.jsonl, a colour per run.

    `pistar-vf curves A B` is short for `pistar-vf curves --runs A B`.
    """

    runs: tuple[Path, ...]
    """Training directories, or metrics.jsonl files."""
    output: Path | None = None
    """The PNG to write; default: curves.png in the first run's folder."""


def main(argv: Sequence[str]) -> Path:
    """Parses the command line, draws, and says where the picture is."""
    args = parse(CurvesArgs, argv, "pistar-vf curves", bare="runs")
    from pistar_vf.drawing.run_curves import CURVES_FILE, draw_run_curves, read_metrics

    runs = [read_metrics(run) for run in args.runs]
    folder = args.runs[0] if args.runs[0].is_dir() else args.runs[0].parent
    path = draw_run_curves(runs, args.output or folder / CURVES_FILE)
    print(f"result: {path}")
    return path
