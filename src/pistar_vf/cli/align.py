"""`pistar-vf align`: stage 1 of the stitched model, the projector on questions about pictures."""

from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import out_of_memory_advice, resume_advice, setup_logging
from pistar_vf.recipes.config import AlignmentConfig


def main(argv: Sequence[str]) -> Path:
    """Parses the command line and runs the command."""
    setup_logging()
    config = parse(AlignmentConfig, argv, "pistar-vf align")
    from pistar_vf.multihost import initialize_processes
    from pistar_vf.recipes.alignment import run_alignment

    initialize_processes()
    with resume_advice(), out_of_memory_advice():
        projector = run_alignment(config)
    print(f"result: {projector}; go on with: pistar-vf train --preset stitched --projector_path {projector} …")
    return projector
