"""Sizes of the towers, by name. Nothing here needs JAX: a name can be looked up before a model is built."""

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from pistar_vf.errors import ConfigError

V = TypeVar("V")


@dataclasses.dataclass(frozen=True)
class SiglipConfig:
    """Sizes of the tower.

    Attributes:
        patch_size: side of a patch, pixels.
        image_size: side of the square input, pixels; what is left over behind the last whole patch, on the right and
            at the bottom, is not read (384 pixels are 27 patches of 14 and 6 pixels more), as in the published towers.
        head: whether the 1152→1152 layer `img/head` of older value checkpoints is kept behind the tower.
        keypoints: whether the tower is no ViT but the one of `keypoint_tower`, of `width / 2` places and `mlp_dim`
            channels, which makes one token of a picture.
    """

    width: int
    depth: int
    mlp_dim: int
    num_heads: int
    patch_size: int = 14
    image_size: int = 224
    head: bool = False
    keypoints: bool = False

    def __post_init__(self) -> None:
        if self.image_size < self.patch_size:
            raise ConfigError(
                f"image_size: expected at least one patch of {self.patch_size} pixels, got {self.image_size}"
            )

    @property
    def side(self) -> int:
        """Tokens along a side of an image."""
        return 1 if self.keypoints else self.image_size // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Tokens per image."""
        return self.side**2


@dataclasses.dataclass(frozen=True)
class Gemma3Config:
    """Sizes of the decoder.

    Attributes:
        sliding_window: a local layer sees tokens at a distance below this.
        global_every: every n-th layer is global, the others are local.
        bidirectional: attend to both sides (a value model) or to the left only (a language model).
    """

    width: int
    depth: int
    mlp_dim: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    sliding_window: int = 512
    global_every: int = 6
    local_rope_base: float = 10_000.0
    global_rope_base: float = 1_000_000.0
    bidirectional: bool = True

    def is_global(self, layer: int) -> bool:
        """Whether a layer attends over the whole sequence."""
        return layer % self.global_every == self.global_every - 1


def pooled_side(config: SiglipConfig, pool: int) -> int:
    """Tokens along a side of an image of which squares of `pool` × `pool` tokens are averaged to one.

    Raises:
        ConfigError: the tokens' grid does not divide into such squares.
    """
    side = config.side
    if pool < 1 or side % pool:
        raise ConfigError(
            f"--image_pool: expected a divisor of {side}, as an image of {config.image_size} pixels has "
            f"{side} × {side} tokens, got {pool}"
        )
    return side // pool


SIGLIP_VARIANTS = {
    "So400m/14": SiglipConfig(width=1152, depth=27, mlp_dim=4304, num_heads=16),
    "So400m/14-384": SiglipConfig(width=1152, depth=27, mlp_dim=4304, num_heads=16, image_size=384),
    "tiny/14": SiglipConfig(width=96, depth=3, mlp_dim=192, num_heads=4, image_size=56),
    "keypoints/64": SiglipConfig(
        width=64, depth=4, mlp_dim=32, num_heads=1, patch_size=4, image_size=64, keypoints=True
    ),
}

GEMMA_VARIANTS = {
    "gemma3_270m": Gemma3Config(
        width=640, depth=18, mlp_dim=2048, num_heads=4, num_kv_heads=1, head_dim=256, vocab_size=262_144
    ),
    "gemma3_tiny": Gemma3Config(
        width=96, depth=3, mlp_dim=192, num_heads=4, num_kv_heads=1, head_dim=24, vocab_size=512, global_every=3
    ),
}


def lookup(variants: Mapping[str, V], name: str, flag: str) -> V:
    """The variant called `name`.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    if name not in variants:
        raise ConfigError(f"{flag}: expected one of {', '.join(variants)}, got {name!r}")
    return variants[name]
