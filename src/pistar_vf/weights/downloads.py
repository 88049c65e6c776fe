"""Which repositories of the hub hold the weights that a path is named after."""

from pathlib import Path

from pistar_vf.errors import CheckpointError
from pistar_vf.hub.files import HubFiles, curable

_TOWERS = (
    "google/siglip-so400m-patch14-224",
    "google/siglip-so400m-patch14-384",
    "google/siglip2-so400m-patch14-224",
    "google/gemma-3-270m",
    "google/gemma-3-270m-it",
)
"""Repositories of towers that this library reads; their folders usually carry the repository's name."""
SIGLIP2_JAX = "google/siglip2-so400m-patch14-224-jax"
BUNDLE = "ybpy/vlm_ckpt"
"""Where upstream publishes the VLM bundle: value model, base Gemma, base SigLIP 2 and tokenizer."""


def tower_files(path: Path) -> HubFiles | None:
    """The tower that a path is named after; None where it is named after none."""
    repository = next((name for name in _TOWERS if name.split("/")[1] == path.name), None)
    if repository is None:
        return None
    names = ("config.json", "model.safetensors", *(("tokenizer.model",) if "gemma" in repository else ()))
    return HubFiles(repository, names, folder=path)


def missing_tower(path: Path, what: str) -> CheckpointError:
    """The error about weights that are not there, with how to get them; else what there is to choose from.

    Args:
        path: where they should be.
        what: what is the matter, with the path.
    """
    files = tower_files(path)
    if files is None:
        return CheckpointError(f"{what}; towers that fit: {', '.join(_TOWERS)}; docs/weights.md says what else is read")
    return curable(CheckpointError(f"{what}; {files.line()}"), files)


def bundle_files(bundle: Path) -> HubFiles:
    """The whole VLM bundle."""
    return HubFiles(BUNDLE, folder=bundle)


def siglip2_files(bundle: Path) -> HubFiles:
    """The vision tower of `--pretrained_source base`, where the bundle has it."""
    return HubFiles(SIGLIP2_JAX, ("siglip2_so400m14_224.npz",), folder=bundle / SIGLIP2_JAX.split("/")[1])
