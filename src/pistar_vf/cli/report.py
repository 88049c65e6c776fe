"""`pistar-vf report`: everything that is known of a dataset and of a run, in one HTML file."""

from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import device_advice, setup_logging
from pistar_vf.overview.config import ReportConfig


def main(argv: Sequence[str]) -> Path:
    """Parses the command line, writes the report, and says what to open."""
    config = parse(ReportConfig, argv, "pistar-vf report", bare="data_dir")
    from pistar_vf.overview.run import run_report

    setup_logging()
    with device_advice():
        path = run_report(config)
    print(f"report: {path} (open it in a browser)")
    return path
