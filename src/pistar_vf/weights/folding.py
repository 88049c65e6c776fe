"""Two repairs on the way in: the extra layer of older bundles, and another image size.

Older value checkpoints carry one layer more, `img/head` (1152→1152) behind the vision tower. `img_projection` was
trained on its output, so it must not be dropped: K' = K_head K_proj and b' = b_head K_proj + b_proj is exact.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.typing import Float


def fold_head(
    head_kernel: Float[np.ndarray, "w w"],
    head_bias: Float[np.ndarray, " w"],
    kernel: Float[np.ndarray, "w d"],
    bias: Float[np.ndarray, " d"],
) -> tuple[Float[np.ndarray, "w d"], Float[np.ndarray, " d"]]:
    """Kernel and bias of the one layer that equals both; computed in float64, returned in float32."""
    projection = kernel.astype(np.float64)
    folded = head_kernel.astype(np.float64) @ projection
    shift = head_bias.astype(np.float64) @ projection + bias.astype(np.float64)
    return folded.astype(np.float32), shift.astype(np.float32)


def resize_position_embedding(
    stored: Float[np.ndarray, "1 stored_tokens d"], num_tokens: int
) -> Float[np.ndarray, "1 num_tokens d"]:
    """Interpolates a square grid of positions to another square grid.

    Bilinear with antialiasing, pixel centres aligned: what SigLIP 2 does for other resolutions, and what
    `torch.nn.functional.interpolate(mode="bilinear", antialias=True)` computes.

    References:
        Tschannen et al., "SigLIP 2", arXiv 2502.14786, section 2.4.2 (NaFlex).
    """
    _, count, width = stored.shape
    before, after = grid_side(count), grid_side(num_tokens)
    if before is None or after is None:
        raise ValueError(f"expected square grids of positions, got {count} and {num_tokens} tokens")
    grid = jnp.asarray(stored.reshape(before, before, width), jnp.float32)
    resized = jax.image.resize(grid, (after, after, width), "bilinear", antialias=True)
    return np.asarray(resized).reshape(1, num_tokens, width)


def grid_side(num_tokens: int) -> int | None:
    """Side of the square grid of so many tokens, None where there is no such square."""
    side = round(num_tokens**0.5)
    return side if side * side == num_tokens else None
