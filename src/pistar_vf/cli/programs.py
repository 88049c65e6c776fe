"""Compiled programs are kept between commands, so that only the first one waits for the compiler."""

import hashlib
import platform
from pathlib import Path

import jax

from pistar_vf.frames.settings import cache_root

_CPU_FACTS = Path("/proc/cpuinfo")
_MIN_SECONDS = 0.3
"""What compiles faster than this is not worth a file."""


def keep_programs(cache_dir: Path | None) -> None:
    """Lets JAX keep what it compiles, in `<cache>/programs`, beside decoded frames.

    Whoever has set JAX's own cache (JAX_COMPILATION_CACHE_DIR) keeps it. JAX before 0.6 runs programs from its cache
    wrongly: it gets none.

    Args:
        cache_dir: where caches live; None for `$PISTAR_VF_CACHE`, or `~/.cache/pistar_vf`.
    """
    kept: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if kept or jax.__version_info__ < (0, 6):
        return
    folder = cache_root(cache_dir) / "programs" / processor_digest(_CPU_FACTS)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)


def processor_digest(facts: Path) -> str:
    """Changes with the instructions that programs may use: hosts of several kinds may share a home folder.

    Args:
        facts: Linux's description of its processors; elsewhere there is none.
    """
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    instructions = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return hashlib.sha256(f"{platform.machine()} {instructions}".encode()).hexdigest()[:12]
