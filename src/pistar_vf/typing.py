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
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Int, PRNGKeyArray, Shaped, UInt8

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
