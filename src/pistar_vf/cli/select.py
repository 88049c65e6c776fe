"""`pistar-vf select`: the best trajectories of a dataset under a trained value model."""

from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import device_advice, setup_logging
from pistar_vf.relabel.select_config import SelectConfig


def main(argv: Sequence[str]) -> Path:
    """Parses the command line, runs the command and says where the result is."""
    config = parse(SelectConfig, argv, "pistar-vf select")
    from pistar_vf.relabel.select import run_select

    setup_logging()
    with device_advice():
        written = run_select(config)
    print(f"result: {written}")
    return written
