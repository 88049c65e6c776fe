"""The value function of RECAP (π*0.6): train, inspect and trust V(o_t) on LeRobot datasets, in JAX/Flax."""

import importlib
from importlib import metadata
from typing import Any

__version__ = metadata.version("pistar-vf")

# Loaded on first use, so that `import pistar_vf` stays light.
_LAZY = {"load_value_model": "pistar_vf.inference.predictor"}

__all__ = ["__version__", "load_value_model"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'pistar_vf' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
