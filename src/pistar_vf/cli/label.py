"""`pistar-vf label`: a labelled copy of a dataset, from the outcome of every episode."""

import os
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse
from pistar_vf.recipes.label_config import LabelConfig


def main(argv: Sequence[str]) -> Path:
    """Parses the command line and runs the command."""
    config = parse(LabelConfig, argv, "pistar-vf label")
    os.environ["JAX_PLATFORMS"] = "cpu"  # a few sums: whatever device the environment names is not needed
    from pistar_vf.recipes.label import run_label

    return run_label(config)
