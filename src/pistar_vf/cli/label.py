"""`pistar-vf label`: a labelled copy of a dataset, from the outcome of every episode."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from pistar_vf.recipes.label import LabelConfig, run_label


def main(argv: Sequence[str] | None = None) -> Path:
    """Parses the command line and runs the command."""
    return run_label(tyro.cli(LabelConfig, prog="pistar-vf label", args=argv, use_underscores=True))
