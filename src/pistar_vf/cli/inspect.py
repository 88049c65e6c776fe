"""`pistar-vf inspect`: what a checkpoint, a bundle or a file of weights holds."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro

from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import setup_logging


@dataclasses.dataclass(frozen=True)
class InspectArgs:
    """Describe weights: tree, shapes, dtypes, what the values mean, and whether the vision tower is informative."""

    path: tyro.conf.Positional[Path]
    """A checkpoint, a training directory, a bundle, a Hugging Face folder, an .npz or a .safetensors file."""
    leaves: bool = True
    """List every leaf."""


def run(args: InspectArgs) -> None:
    """Prints the description."""
    from pistar_vf.weights.describe import describe_weights

    print(describe_weights(args.path, leaves=args.leaves))


def main(argv: Sequence[str]) -> None:
    """Parses the command line and runs the command."""
    setup_logging()
    run(parse(InspectArgs, argv, "pistar-vf inspect"))
