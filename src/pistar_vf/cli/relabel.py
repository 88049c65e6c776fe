"""`pistar-vf relabel`: advantage labels from a trained value model, behind a gate, with a diff and an undo."""

from collections.abc import Sequence

import tyro

from pistar_vf.cli.train import out_of_memory_advice, setup_logging
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import Relabelling, run_relabel


def main(argv: Sequence[str] | None = None) -> Relabelling:
    """Parses the command line and runs the command."""
    config = tyro.cli(RelabelConfig, prog="pistar-vf relabel", args=argv, use_underscores=True)
    setup_logging()
    with out_of_memory_advice():
        return run_relabel(config)
