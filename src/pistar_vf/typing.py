"""Array aliases and the legend of dimension names used in every signature.

| letter | dimension |
|---|---|
| `b` | batch |
| `t` | frames of one episode |
| `h w` | image height and width, pixels |
| `l` | tokens of a sequence |
| `s` | components of the robot state |
| `d` | width of a token |
| `atoms` | atoms of the value distribution |
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

if TYPE_CHECKING:
    import jax
    from jax.typing import DTypeLike
    from jaxtyping import PRNGKeyArray

    Array: TypeAlias = jax.Array | np.ndarray
Params: TypeAlias = Mapping[str, Any]
"""A nested dict of arrays whose keys are the keys of a checkpoint."""

__all__ = [
    "Array",
    "Bool",
    "DTypeLike",
    "Float",
    "Int",
    "PRNGKeyArray",
    "Params",
    "Shaped",
    "UInt8",
]


def __getattr__(name: str) -> Any:
    """The names that need JAX, which rooms that work with NumPy alone do not load."""
    if name not in ("Array", "DTypeLike", "PRNGKeyArray"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    import jax
    from jax.typing import DTypeLike
    from jaxtyping import PRNGKeyArray

    globals().update(Array=jax.Array | np.ndarray, DTypeLike=DTypeLike, PRNGKeyArray=PRNGKeyArray)
    return globals()[name]
