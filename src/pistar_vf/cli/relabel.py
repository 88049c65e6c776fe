"""`pistar-vf relabel`: advantage labels from a trained value model, behind a gate, with a diff and an undo."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import device_advice, setup_logging
from pistar_vf.relabel.config import RelabelConfig

if TYPE_CHECKING:
    from pistar_vf.relabel.run import Relabelling


def main(argv: Sequence[str]) -> "Relabelling":
    """Parses the command line and runs the command."""
    config = parse_config(argv)
    from pistar_vf.cli.programs import keep_programs
    from pistar_vf.relabel.run import run_relabel

    setup_logging()
    keep_programs(config.cache_dir)
    with device_advice():
        return run_relabel(config)


def parse_config(argv: Sequence[str]) -> RelabelConfig:
    """The command line as settings."""
    return parse(RelabelConfig, argv, "pistar-vf relabel")
