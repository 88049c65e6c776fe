"""The projector alone: what alignment on question-answer data trains, and robot training starts from.

One safetensors file with the leaves below `img_projection/`, by their names in a checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from pistar_vf.errors import CheckpointError
from pistar_vf.typing import Params
from pistar_vf.weights.export import write_safetensors
from pistar_vf.weights.pretrained import place
from pistar_vf.weights.sources import SafetensorsSource

PREFIX = "img_projection/"


def write_projector(path: Path, flat: Params) -> None:
    """Writes the projector of a flat dict of parameters; the file appears whole or not at all."""
    leaves = {name: np.asarray(leaf) for name, leaf in flat.items() if name.startswith(PREFIX)}
    partial = path.with_suffix(".partial")
    write_safetensors(partial, leaves)
    partial.rename(path)


def load_projector(path: Path, wanted: Mapping[str, jax.ShapeDtypeStruct]) -> Params:
    """Reads a projector, strictly.

    Args:
        path: a file of `write_projector`.
        wanted: the model's leaves with dtypes and placements.

    Returns:
        Flat dict of the placed leaves below `img_projection/`.

    Raises:
        CheckpointError: there is no such file, or its leaves are not the model's; lists − missing, + extra, ≠ other.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(
            f"--projector_path {path}: no such file; stage 1 (scripts/train_alignment.py) writes "
            "best_projector.safetensors"
        )
    source = SafetensorsSource(path)
    own = {name: leaf for name, leaf in wanted.items() if name.startswith(PREFIX)}
    lines = [f"− {name} {leaf.shape}" for name, leaf in own.items() if name not in source.leaves]
    lines += [f"+ {name} {leaf.shape}" for name, leaf in source.leaves.items() if name not in own]
    lines += [
        f"≠ {name}: expected {own[name].shape}, got {leaf.shape}"
        for name, leaf in source.leaves.items()
        if name in own and leaf.shape != own[name].shape
    ]
    if lines:
        listed = "\n  ".join(lines)
        raise CheckpointError(
            f"{path}: not the projector of this model:\n  {listed}\nUse the --architecture, --siglip_variant and "
            "--gemma_variant that it was trained with"
        )
    names = sorted(own)
    return {name: place(leaf, own[name]) for name, leaf in zip(names, source.read(names))}
