"""`pistar-vf inspect`: what a checkpoint, a bundle or a file of weights holds."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro

from pistar_vf.cli.train import setup_logging
from pistar_vf.weights.describe import describe_weights


@dataclasses.dataclass(frozen=True)
class InspectArgs:
    """Describe weights: tree, shapes, dtypes, what the values mean, and whether the vision tower is informative."""

    path: tyro.conf.Positional[Path]
    """A checkpoint, a training directory, a bundle, a Hugging Face folder, an .npz or a .safetensors file."""
    leaves: bool = True
    """List every leaf."""


def run(args: InspectArgs) -> None:
    """Prints the description."""
    print(describe_weights(args.path, leaves=args.leaves))


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the command line and runs the command."""
    setup_logging()
    run(tyro.cli(InspectArgs, prog="pistar-vf inspect", args=argv, use_underscores=True))
