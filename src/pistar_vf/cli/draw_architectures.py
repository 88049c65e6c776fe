"""`scripts/draw_architectures.py`: the models of the presets as pictures and tables."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import setup_logging
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.presets import PRESETS, find_preset

if TYPE_CHECKING:
    from pistar_vf.models.value_config import ValueModelConfig

CAMERAS = ("base_0_rgb", "wrist_0_rgb")
"""Drawn with a fixed and a wrist camera: cameras decide numbers of tokens, never numbers of parameters."""


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


def main(argv: Sequence[str]) -> Path:
    """Parses the command line, prints the tables, draws, and says where the pictures are."""
    setup_logging()
    config = parse(DrawConfig, argv, "draw_architectures.py")
    from pistar_vf.drawing.components import format_components, list_components
    from pistar_vf.drawing.diagram import draw_components

    for name in PRESETS if config.preset == "all" else [config.preset]:
        preset = find_preset(name).replace(lora_rank=config.lora_rank)
        components = list_components(drawn_model(preset, config.state_dim), preset.freeze_mode)
        title = f"--preset {name} ({preset.siglip_variant}, {preset.gemma_variant}), --freeze_mode {preset.freeze_mode}"
        print(f"{title}\n{format_components(components)}\n")
        draw_components(title, components, config.output_dir / f"architecture_{name}.png")
    print(f"result: {config.output_dir}")
    return config.output_dir


def drawn_model(preset: TrainConfig, state_dim: int) -> "ValueModelConfig":
    """The model that a preset trains on data with two cameras and a state."""
    from pistar_vf.models import gemma3, siglip
    from pistar_vf.models.value_config import ARCHITECTURES

    return ARCHITECTURES[preset.architecture](
        siglip=siglip.VARIANTS[preset.siglip_variant],
        gemma=gemma3.VARIANTS[preset.gemma_variant],
        cameras=CAMERAS,
        state_dim=state_dim,
        state_encoding=preset.state_encoding,
        max_token_len=preset.max_token_len,
        lora=preset.model.lora,
    )
