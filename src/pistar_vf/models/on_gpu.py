"""What a GPU computes in another way than a CPU, to the same result within rounding; see docs/performance.md."""

import os
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from pistar_vf.typing import Bool, Float

PLAIN = "PISTAR_VF_PLAIN_ATTENTION"
"""Environment variable: anything but nothing leaves attention to XLA."""
_LEAST_LENGTH, _LARGEST_HEAD, _LEAST_CAPABILITY = 128, 128, 8.0


def attend(
    query: Float[jax.Array, "b q n h"],
    key: Float[jax.Array, "b k groups h"],
    value: Float[jax.Array, "b k groups h"],
    mask: Bool[jax.Array, "b 1 #q k"] | None = None,
) -> Float[jax.Array, "b q n h"]:
    """Dot-product attention with a softmax in float32.

    cuDNN's kernel, which never writes the scores to memory, where it can: on an NVIDIA GPU from Ampere on, in bfloat16,
    over a long sequence of which nothing is masked, as the vision tower's is. Everywhere else it is XLA's products.
    """
    if mask is None and _fits_kernel(query) and _has_kernel() and not os.environ.get(PLAIN):
        return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
    return jax.nn.dot_product_attention(query, key, value, mask=mask)


def recomputed(block: Callable[..., Any], everything: bool, **options: Any) -> Callable[..., Any]:
    """A block of the vision tower, with less kept for its backward pass.

    A scan over blocks writes what each one keeps to memory, which a GPU has so much slower than its arithmetic that
    computing most of it again costs less: there, results of products with weights alone are kept.

    Args:
        block: a pure function.
        everything: whether nothing but the block's inputs is kept, on any device.
        options: of `jax.checkpoint`.
    """
    if everything:
        return jax.checkpoint(block, **options)
    if jax.default_backend() == "gpu":
        return jax.checkpoint(block, policy=jax.checkpoint_policies.dots_with_no_batch_dims_saveable, **options)
    return block


def _fits_kernel(query: jax.Array) -> bool:
    length, head = query.shape[1], query.shape[3]
    return query.dtype == jnp.bfloat16 and length >= _LEAST_LENGTH and head % 8 == 0 and head <= _LARGEST_HEAD


def _has_kernel() -> bool:
    """By the device's compute capability: "9.0" of a Hopper; AMD's are no such numbers."""
    capability = str(getattr(jax.local_devices()[0], "compute_capability", ""))
    return re.fullmatch(r"\d+\.\d+", capability) is not None and float(capability) >= _LEAST_CAPABILITY
