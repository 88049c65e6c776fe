"""Named complete configurations; `--preset NAME` makes them the defaults of every flag."""

from pathlib import Path

from pistar_vf.errors import ConfigError
from pistar_vf.recipes.config import TrainConfig

_UNSET = {"data_dir": "", "checkpoint_dir": Path()}

PRESETS: dict[str, TrainConfig] = {
    # The documented Stage 4 model and trainer: SigLIP So400m/14, Gemma 3 270M, frozen backbones.
    "pistar": TrainConfig.of(**_UNSET, preset="pistar"),
    # From scratch on a laptop. Few image tokens: the head reads the mean over all tokens, and with little data and
    # many tokens the state's one token drowns in it.
    "tiny": TrainConfig.of(
        **_UNSET,
        preset="tiny",
        siglip_variant="tiny/14",
        gemma_variant="gemma3_tiny",
        freeze_mode="none",
        image_fit="stretch",
        max_token_len=16,
        num_train_steps=1_600,
        peak_lr=2e-3,
        decay_lr=5e-5,
        state_noise=0.1,
        val_interval=100,
        save_interval=800,
        wandb_mode="disabled",
    ),
    # The earlier system: an MLP between SigLIP at 384 px and a causal Gemma 3 270M-it, see docs/stitched.md.
    "stitched": TrainConfig.of(
        **_UNSET, preset="stitched", architecture="stitched", siglip_variant="So400m/14-384", vqa_template="gemma-chat"
    ),
}
PRESETS["tiny_stitched"] = PRESETS["tiny"].replace(
    preset="tiny_stitched", architecture="stitched", vqa_max_token_len=32
)
"""The same from scratch on a laptop."""


def demo_settings() -> TrainConfig:
    """The settings of `pistar-vf train --demo`: the `tiny` preset, with a fifth of the episodes held out."""
    return PRESETS["tiny"].replace(val_fraction=0.2, num_train_steps=2_400, val_interval=200)


def find_preset(name: str) -> TrainConfig:
    """The preset called `name`.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    if name not in PRESETS:
        raise ConfigError(f"--preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]
