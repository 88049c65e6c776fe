"""Floating-point operations of the value model, counted from its sizes: two per multiplication in a matrix product.

Everything else (norms, softmax, activations) is left out, as for model FLOPs utilisation in general.
"""

from pistar_vf.choices import FreezeMode
from pistar_vf.models.value_config import ValueModelConfig

PARTS = ("tower", "projector", "fusion", "state", "decoder", "head")


def forward(config: ValueModelConfig) -> dict[str, float]:
    """Operations of one frame, by part of the `pistar` architecture."""
    return {part: sum(numbers) for part, numbers in _forward(config).items()}


def step(config: ValueModelConfig, freeze_mode: FreezeMode, *, cached: bool = False) -> float:
    """Operations of one frame in a training step.

    A product of activations with trained weights costs twice its forward pass again (a gradient for each factor), one
    with frozen weights once, one of two activations twice; what lies in front of the first trained leaf costs nothing.

    Args:
        config: of the model.
        freeze_mode: what is trained: "none", "siglip_only" or "all_backbones".
        cached: whether the tower's tokens are at hand.
    """
    parts = _forward(config)
    total = sum(sum(numbers) for part, numbers in parts.items() if not (cached and part == "tower"))
    tower, embedding, between = freeze_mode == "none", _embedding(config), parts["decoder"][1]
    if tower:
        weights, activations = parts["tower"]
        total += 2 * (weights + activations) - embedding  # pixels have no gradient
    frozen_tower = 1 if not tower else 2  # tokens of a frozen tower have none either
    total += frozen_tower * sum(parts["projector"]) + 2 * sum(parts["fusion"]) + sum(parts["state"])
    total += (1 if freeze_mode == "all_backbones" else 2) * parts["decoder"][0] + 2 * between
    return total + 2 * sum(parts["head"])


def _forward(config: ValueModelConfig) -> dict[str, tuple[float, float]]:
    """Of each part (products with weights, products of activations)."""
    siglip, width, cameras = config.siglip, config.gemma.width, len(config.cameras)
    tokens, images = siglip.num_tokens, cameras * config.num_image_tokens
    text, length = config.max_token_len, images + config.max_token_len + config.has_state
    weights = siglip.depth * tokens * (8 * siglip.width**2 + 4 * siglip.width * siglip.mlp_dim)
    return {
        "tower": (_embedding(config) + cameras * weights, cameras * siglip.depth * 4 * tokens**2 * siglip.width),
        "projector": (2 * images * siglip.width * width, 0),
        "fusion": (4 * width**2 * (text + images), 4 * text * images * width),
        "state": (2 * config.state_dim * width * config.has_state, 0),
        "decoder": _decoder(config, length),
        "head": (width**2 + width * config.support.num_atoms, 0),
    }


def _embedding(config: ValueModelConfig) -> float:
    siglip = config.siglip
    return len(config.cameras) * 2 * siglip.num_tokens * 3 * siglip.patch_size**2 * siglip.width


def _decoder(config: ValueModelConfig, length: int) -> tuple[float, float]:
    gemma = config.gemma
    heads = gemma.num_heads * gemma.head_dim
    attention = 2 * gemma.width * (2 * heads + 2 * gemma.num_kv_heads * gemma.head_dim)
    weights = gemma.depth * length * (attention + 6 * gemma.width * gemma.mlp_dim)
    return weights, gemma.depth * 4 * length**2 * heads
