"""`pistar-vf visualize`: the value over time, as pictures or as videos."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from pistar_vf.cli.train import out_of_memory_advice, setup_logging
from pistar_vf.evaluation.config import VisualizeConfig
from pistar_vf.evaluation.visualize import run_visualize


def main(argv: Sequence[str] | None = None) -> Path:
    """Parses the command line, runs the command and says where the pictures are."""
    config = tyro.cli(VisualizeConfig, prog="pistar-vf visualize", args=argv, use_underscores=True)
    setup_logging()
    with out_of_memory_advice():
        index = run_visualize(config)
    print(f"result: {index}")
    return index
