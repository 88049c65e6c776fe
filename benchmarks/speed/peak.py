"""What the machine's matrix products reach: the ruler that utilisation is measured with."""

import jax
import jax.numpy as jnp

from speed.timing import Program

_SIDE, _CALLS = 2048, 8
_GFLOP = _CALLS * 2 * _SIDE**3 / 1e9


def xla_peak(dtype: str = "float32") -> Program:
    """Products of square matrices by XLA; the unit is 10^9 operations."""
    matrix = jnp.ones((_SIDE, _SIDE), dtype)
    product = jax.jit(lambda a, b: a @ b).lower(matrix, matrix).compile()

    def run() -> float:
        for _ in range(_CALLS):
            product(matrix, matrix).block_until_ready()
        return _GFLOP

    return run


def torch_peak(dtype: str = "float32") -> Program:
    """The same of PyTorch."""
    import torch

    matrix = torch.ones((_SIDE, _SIDE), dtype=getattr(torch, dtype))

    def run() -> float:
        for _ in range(_CALLS):
            torch.mm(matrix, matrix)
        return _GFLOP

    return run
