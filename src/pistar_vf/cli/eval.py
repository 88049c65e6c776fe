"""`pistar-vf eval`: how good a trained value model is on held-out episodes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import device_advice, setup_logging
from pistar_vf.evaluation.config import EvalConfig

if TYPE_CHECKING:
    from pistar_vf.evaluation.report import Evaluation


def main(argv: Sequence[str]) -> "Evaluation":
    """Parses the command line and runs the command."""
    config = parse(EvalConfig, argv, "pistar-vf eval")
    from pistar_vf.cli.programs import keep_programs
    from pistar_vf.evaluation.run import run_eval

    setup_logging()
    keep_programs(config.cache_dir)
    with device_advice():
        return run_eval(config)
