"""The line that downloads what is missing; nothing is downloaded here."""

import shlex
from pathlib import Path

_TOWERS = (
    "google/siglip-so400m-patch14-224",
    "google/siglip-so400m-patch14-384",
    "google/siglip2-so400m-patch14-224",
    "google/gemma-3-270m",
    "google/gemma-3-270m-it",
)
"""Repositories of towers that this library reads; their folders usually carry the repository's name."""
SIGLIP2_JAX = "google/siglip2-so400m-patch14-224-jax"


def tower_line(path: Path) -> str:
    """How to get the tower that a path is named after; else what there is to choose from."""
    repository = next((name for name in _TOWERS if name.split("/")[1] == path.name), None)
    if repository is None:
        return f"towers that fit: {', '.join(_TOWERS)}; docs/weights.md says what else is read"
    wanted = "config.json model.safetensors" + (" tokenizer.model" if "gemma" in repository else "")
    return f"hf download {repository} {wanted} --local-dir {shlex.quote(str(path))}"


def siglip2_line(bundle: Path) -> str:
    """How to get the vision tower of `--pretrained_source base`."""
    folder = shlex.quote(str(bundle / SIGLIP2_JAX.split("/")[1]))
    return f"hf download {SIGLIP2_JAX} siglip2_so400m14_224.npz --local-dir {folder}"
