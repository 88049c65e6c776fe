"""What the accelerator reaches at best: the rulers of part `accelerator`."""

from typing import Any

import jax
import jax.numpy as jnp

from speed.journal import seconds_of

SIDE, BYTES = 8192, 2**32
"""Of the square matrices, and of what is copied."""
TINY_SIDE, TINY_BYTES = 256, 2**20


def xla_figures(side: int = SIDE, size: int = BYTES) -> dict[str, Any]:
    """TFLOP/s of a square product in bfloat16 by XLA; GB/s of adding one to an array, bytes read and written."""
    left, right = (jax.random.normal(jax.random.key(n), (side, side), jnp.bfloat16) for n in (0, 1))
    product = jax.jit(lambda a, b: a @ b)
    numbers = jnp.zeros(size // 4, jnp.float32)
    add = jax.jit(lambda x: x + 1)
    return {
        "matmul_tflops": 2 * side**3 / _seconds(lambda: product(left, right)) / 1e12,
        "memory_gb_per_second": 2 * size / _seconds(lambda: add(numbers)) / 1e9,
    }


def _seconds(run: Any) -> float:
    last: list[Any] = [None]

    def keep() -> None:
        last[0] = run()

    return seconds_of(keep, lambda: jax.block_until_ready(last))["seconds"]


def tiny_figures() -> dict[str, Any]:
    """The same of sizes for a first try."""
    return xla_figures(TINY_SIDE, TINY_BYTES)


def torch_figures(device: str, side: int = SIDE, size: int = BYTES) -> dict[str, Any]:
    """`xla_figures` by PyTorch."""
    import torch

    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    numbers = torch.zeros(size // 4, device=device)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    product = seconds_of(lambda: left @ right, wait)["seconds"]
    add = seconds_of(lambda: numbers + 1, wait)["seconds"]
    return {"matmul_tflops": 2 * side**3 / product / 1e12, "memory_gb_per_second": 2 * size / add / 1e9}
