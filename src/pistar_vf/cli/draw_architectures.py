"""`scripts/draw_architectures.py`: the models of the presets as pictures and tables."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import setup_logging
from pistar_vf.recipes.presets import PRESETS


@dataclasses.dataclass(frozen=True)
class DrawConfig:
    """Draw the models of the presets: every component with its sizes and its parameters, computed from the model.

    Prints the same as a table. Nothing is trained, loaded or allocated.
    """

    preset: str = "all"
    """pistar, stitched, tiny, tiny_stitched, or all of them."""
    output_dir: Path = Path("outputs/architectures")
    """Where the pictures go: architecture_<preset>.png."""
    lora_rank: int = 0
    """Rank of adapters on the decoder; 0 for none."""
    state_dim: int = 14
    """Components of the robot state, which a dataset decides; only the state projection depends on it."""
    compare: bool = False
    """Besides, the value function on a 4B VLA's backbone that came before (Gemma 3 4B and SigLIP, sizes as published),
    and a picture of all at one scale: architecture_prev_4b_vla.png, architecture_comparison.png."""


def main(argv: Sequence[str]) -> Path:
    """Parses the command line, prints the tables, draws, and says where the pictures are."""
    setup_logging()
    config = parse(DrawConfig, argv, "draw_architectures.py")
    from pistar_vf.cli.architecture_pictures import ArchitecturePictures

    pictures = ArchitecturePictures(config.output_dir, config.lora_rank, config.state_dim)
    for name in PRESETS if config.preset == "all" else [config.preset]:
        pictures.draw_preset(name)
    if config.compare:
        pictures.draw_comparison()
    print(f"result: {config.output_dir}")
    return config.output_dir
