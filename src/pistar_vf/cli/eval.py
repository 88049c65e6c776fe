"""`pistar-vf eval`: how good a trained value model is on held-out episodes."""

from collections.abc import Sequence

import tyro

from pistar_vf.cli.train import out_of_memory_advice, setup_logging
from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.run import Evaluation, run_eval


def main(argv: Sequence[str] | None = None) -> Evaluation:
    """Parses the command line and runs the command."""
    config = tyro.cli(EvalConfig, prog="pistar-vf eval", args=argv, use_underscores=True)
    setup_logging()
    with out_of_memory_advice():
        return run_eval(config)
