"""What part `accelerator` computes: training steps and V, by size of the model, freeze mode and batch."""

import dataclasses
from typing import Any, Literal, TypeAlias

import numpy as np

from pistar_vf.batch import ValueBatch
from pistar_vf.choices import FreezeMode
from pistar_vf.models.sizes import GEMMA_VARIANTS, SIGLIP_VARIANTS
from pistar_vf.models.value_config import ValueModelConfig
from speed import counts
from speed.full_model import CAMERAS, STATE_DIM, full_config, random_batch

Size: TypeAlias = Literal["full", "tiny"]
Input: TypeAlias = Literal["pictures", "tokens", "pooled tokens", "hidden"]
"""What a frame brings: pictures, or what the feature cache has of them, or what the head reads."""

MODES: tuple[FreezeMode, ...] = ("none", "all_backbones", "siglip_only")
_POOL = 2


def config(size: Size, **fields: Any) -> ValueModelConfig:
    """The full-size model, or a tiny one for a first try."""
    if size == "full":
        return full_config(**fields)
    towers = SIGLIP_VARIANTS["tiny/14"], GEMMA_VARIANTS["gemma3_tiny"]
    return ValueModelConfig(*towers, cameras=CAMERAS, state_dim=STATE_DIM, **fields)


@dataclasses.dataclass(frozen=True)
class Case:
    """A program of one batch size.

    Attributes:
        batch_size: frames.
        freeze_mode: of a training step; None for V.
        reads: what a frame brings.
    """

    batch_size: int
    freeze_mode: FreezeMode | None = None
    reads: Input = "pictures"

    @property
    def name(self) -> str:
        """Such as "none 32"."""
        own = "" if self.reads == "pictures" else f" on {self.reads}"
        return f"{self.freeze_mode or 'values'}{own} {self.batch_size}"

    @property
    def fields(self) -> dict[str, Any]:
        """Of the model's configuration."""
        return {"image_pool": _POOL} if self.reads == "pooled tokens" else {}

    def operations(self, model: ValueModelConfig) -> float | None:
        """Of one call; None for the head alone, which launches more than it multiplies."""
        if self.reads == "hidden":
            return None
        if self.freeze_mode is None:
            return self.batch_size * sum(counts.forward(model).values())
        return self.batch_size * counts.step(model, self.freeze_mode, cached=self.reads != "pictures")

    def batch(self, model: ValueModelConfig) -> ValueBatch:
        """Noise to compute it on."""
        batch, rng = random_batch(model, self.batch_size), np.random.default_rng(1)
        seen = batch.observation
        if self.reads == "hidden":
            hidden = rng.standard_normal((self.batch_size, model.gemma.width), np.float32)
            return batch.replace(observation=seen.replace(images={}, image_masks={}, hidden=hidden))
        if self.reads != "pictures":
            shape = (self.batch_size, model.num_image_tokens, model.siglip.width)
            tokens = {name: rng.standard_normal(shape, np.float32) for name in seen.images}
            return batch.replace(observation=seen.replace(images={}, image_tokens=tokens))
        return batch
