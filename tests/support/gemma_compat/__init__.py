"""Google's `gemma` package beside the newest kauldron, JAX and typeguard, and without TensorFlow.

gemma 3.3.0 uses symbols that its dependencies have renamed since, and imports TensorFlow (1.8 GB) for one name.
`import_gemma()` repairs what is missing, nothing else, and returns `gm`. The library does not need gemma: it is a
reference implementation for the tests.
"""

import importlib
import importlib.util
from types import ModuleType

from pistar_vf.errors import ConfigError
from support.gemma_compat.shims import SHIMS, Shim

__all__ = ["import_gemma", "remove_shims", "status"]

_LAZY = ("ckpts", "nn", "text")
"""Parts of `gm` whose names are resolved at once: later, the stand-ins they are imported with are gone."""


def import_gemma() -> ModuleType:
    """`from gemma import gm`, with the repairs it needs here.

    Afterwards a plain `from gemma import gm` works too. The stand-ins for missing modules are gone again, so that
    other libraries see what is installed; restored symbols stay until `remove_shims()`.

    Raises:
        ConfigError: gemma or kauldron is not installed, or cannot be imported in spite of the repairs.
    """
    missing = [name for name in ("gemma", "kauldron") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"expected the packages gemma and kauldron, got no {' and no '.join(missing)}: run `make oracles`"
        )
    try:
        for shim in SHIMS:
            shim.apply()
        gm = importlib.import_module("gemma.gm")
        _resolve(gm)
    except Exception as error:
        remove_shims()
        raise ConfigError(
            f"gemma cannot be imported here: {type(error).__name__}: {error}; known to work: gemma 3.3.0 with "
            "kauldron 1.4.2 and what `make oracles` installs beside them"
        ) from error
    finally:
        for shim in SHIMS:
            if shim.import_only:
                shim.remove()
    return gm


def _resolve(gm: ModuleType) -> None:
    for part in _LAZY:
        module = getattr(gm, part)
        for name in dir(module):
            getattr(module, name)


def remove_shims() -> None:
    """Takes every repair back; names that gemma has imported by then keep working."""
    for shim in reversed(SHIMS):
        shim.remove()


def status() -> tuple[Shim, ...]:
    """Every repair with its name, the error it cures, and its state (`not tried` before `import_gemma()`)."""
    return SHIMS
