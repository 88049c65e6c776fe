"""Configurations so small that compiling and training take seconds."""

from pathlib import Path
from typing import Any

from pistar_vf.models.gemma3 import Gemma3Config
from pistar_vf.models.siglip import SiglipConfig
from pistar_vf.models.value_config import ValueModelConfig, stitched_config
from pistar_vf.recipes.config import TrainConfig


def tiny_model_config(**overrides: Any) -> ValueModelConfig:
    """A model of two cameras on 28-pixel images and a state of 4 numbers.

    Args:
        overrides: fields of `ValueModelConfig`.
    """
    return ValueModelConfig(**{**_tiny_sizes(), **overrides})


def tiny_stitched_config(**overrides: Any) -> ValueModelConfig:
    """The same sizes, stitched: an MLP projector, a causal decoder with its language head, a linear value head.

    Args:
        overrides: fields of `ValueModelConfig`.
    """
    return stitched_config(**{**_tiny_sizes(), **overrides})


def _tiny_sizes() -> dict[str, Any]:
    return {
        "siglip": SiglipConfig(width=16, depth=1, mlp_dim=24, num_heads=2, image_size=28),
        "gemma": Gemma3Config(
            width=32,
            depth=2,
            mlp_dim=48,
            num_heads=2,
            num_kv_heads=1,
            head_dim=16,
            vocab_size=64,
            global_every=2,
        ),
        "cameras": ("base_0_rgb", "wrist_0_rgb"),
        "state_dim": 4,
        "max_token_len": 6,
    }


TINY_RUN: dict[str, Any] = {
    "siglip_variant": "tiny/14",
    "gemma_variant": "gemma3_tiny",
    "image_size": 28,
    "freeze_mode": "none",
    "batch_size": 4,
    "num_train_steps": 4,
    "log_interval": 2,
    "val_interval": 0,
    "save_interval": 2,
    "num_workers": 0,
    "peak_lr": 1e-3,
    "max_token_len": 24,
    "wandb_mode": "disabled",
}
"""Flags of a run that takes seconds."""


def tiny_train_config(data_dir: str | Path, checkpoint_dir: Path, **overrides: Any) -> TrainConfig:
    """Four steps of four frames, a checkpoint every two, no validation, nothing frozen.

    Args:
        data_dir: a labelled dataset.
        checkpoint_dir: where checkpoints go.
        overrides: fields of `TrainConfig`.
    """
    return TrainConfig.of(data_dir=str(data_dir), checkpoint_dir=checkpoint_dir, **{**TINY_RUN, **overrides})
