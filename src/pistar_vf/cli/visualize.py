"""`pistar-vf visualize`: the value over time, as pictures or as videos."""

from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import device_advice, setup_logging
from pistar_vf.evaluation.config import VisualizeConfig


def main(argv: Sequence[str]) -> Path:
    """Parses the command line, runs the command and says what to open."""
    config = parse(VisualizeConfig, argv, "pistar-vf visualize")
    from pistar_vf.evaluation.visualize import run_visualize

    setup_logging()
    with device_advice():
        report = run_visualize(config)
    print(f"report: {report} (open it in a browser)")
    return report
