"""What `scripts/draw_architectures.py` does once its flags are read."""

from pathlib import Path

import numpy as np

from pistar_vf.drawing import comparison, diagram
from pistar_vf.drawing.components import Component, format_components, list_components
from pistar_vf.drawing.sketches import Example
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_config import ARCHITECTURES, ValueModelConfig
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.presets import find_preset
from pistar_vf.testing.demo_dataset import FAST, Goal, create_episode

CAMERAS = ("base_0_rgb", "wrist_0_rgb")
"""Drawn with a fixed and a wrist camera: cameras decide numbers of tokens, never numbers of parameters."""


class ArchitecturePictures:
    """Tables on stdout and pictures in a folder.

    Args:
        folder: where pictures go.
        lora_rank: of adapters on the decoder; 0 for none.
        state_dim: components of the robot state.
    """

    def __init__(self, folder: Path, lora_rank: int, state_dim: int):
        self._folder, self._lora_rank, self._state_dim = folder, lora_rank, state_dim
        self._drawn: dict[str, list[Component]] = {}

    def draw_preset(self, name: str) -> None:
        """The model of one preset."""
        preset = find_preset(name).replace(lora_rank=self._lora_rank)
        parts = list_components(drawn_model(preset, self._state_dim), preset.freeze_mode)
        title = f"--preset {name} ({preset.siglip_variant}, {preset.gemma_variant}), --freeze_mode {preset.freeze_mode}"
        self._draw(title, parts, f"architecture_{name}.png")
        self._drawn[name] = parts

    def draw_comparison(self) -> None:
        """What came before, and all that was drawn at one scale."""
        parts = comparison.previous_components(CAMERAS)
        title = "before: a value function on a 4B VLA's backbone (Gemma 3 4B, SigLIP So400m/14)"
        self._draw(title, parts, "architecture_prev_4b_vla.png")
        models = {**self._drawn, "4B VLA backbone": parts}
        print(comparison.side_by_side(models))
        comparison.draw_comparison(models, self._folder / "architecture_comparison.png")

    def _draw(self, title: str, parts: list[Component], name: str) -> None:
        print(f"{title}\n{format_components(parts)}\n")
        diagram.draw_components(title, parts, self._folder / name, example(self._state_dim))


def example(state_dim: int) -> Example:
    """What the diagrams show as inputs: a frame of the synthetic robot, and numbers for a state of any size."""
    goal = Goal("red", "left")
    episode = create_episode(goal, FAST, np.random.default_rng(0), image_size=96)
    pictures = [frames[len(frames) // 3] for frames in episode.images.values()]
    return Example(pictures, goal.prompt, np.sin(np.arange(state_dim) * 1.7).tolist())


def drawn_model(preset: TrainConfig, state_dim: int) -> ValueModelConfig:
    """The model that a preset trains on data with two cameras and a state."""
    return ARCHITECTURES[preset.architecture](
        siglip=siglip.VARIANTS[preset.siglip_variant],
        gemma=gemma3.VARIANTS[preset.gemma_variant],
        cameras=CAMERAS,
        state_dim=state_dim,
        state_encoding=preset.state_encoding,
        max_token_len=preset.max_token_len,
        lora=preset.model.lora,
    )
