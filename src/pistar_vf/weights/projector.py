"""The projector alone: what alignment on question-answer data trains, and robot training starts from.

Two files with the same numbers: a safetensors file with the leaves below `img_projection/`, by their names in a
checkpoint, and torch's `.pt` of `nn.Sequential(Linear, GELU, Linear)`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from pistar_vf.errors import CheckpointError
from pistar_vf.params import leaf_differences, listed_lines, shapes_of
from pistar_vf.typing import Params
from pistar_vf.weights.export import write_safetensors
from pistar_vf.weights.name_tables import LINEAR, Entry
from pistar_vf.weights.pretrained import place
from pistar_vf.weights.sources import SafetensorsSource, Source
from pistar_vf.weights.torch_file import SUFFIXES, TorchSource, write_torch_file

PREFIX = "img_projection/"
TORCH_SUFFIX = ".pt"
_TORCH_NAMES = ("projector", "img_projection", "multi_modal_projector")


def write_projector(path: Path, flat: Params) -> None:
    """Writes the projector of a flat dict of parameters, for here and for torch; a file appears whole or not at all.

    Args:
        path: the safetensors file; torch's lies beside it and ends in `.pt`.
        flat: parameters by name, others than the projector's included.
    """
    leaves = {name: np.asarray(leaf) for name, leaf in flat.items() if name.startswith(PREFIX)}
    partial = path.with_suffix(".partial")
    write_safetensors(partial, leaves)
    partial.rename(path)
    entries = _torch_entries(leaves, [str(2 * index) for index in range(len(_layers(leaves)))])
    theirs = {name: part for entry in entries for name, part in entry.store(leaves[entry.ours]).items()}
    write_torch_file(partial, theirs)
    partial.rename(path.with_suffix(TORCH_SUFFIX))


def load_projector(path: Path, wanted: Mapping[str, jax.ShapeDtypeStruct]) -> Params:
    """Reads a projector, strictly.

    Args:
        path: a file of `write_projector`, or a torch file with the layers of a projector, alone or below a name such
            as `projector.`, in the order in which they are applied.
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
            "best_projector.safetensors and best_projector.pt"
        )
    own = {name: leaf for name, leaf in wanted.items() if name.startswith(PREFIX)}
    source: Source = TorchSource(path) if path.suffix in SUFFIXES else SafetensorsSource(path)
    if isinstance(source, TorchSource):
        stored = _torch_leaves(source)
        entries = _torch_entries(own, list(dict.fromkeys(name.rpartition(".")[0] for name in stored)))
    else:
        stored, entries = list(source.leaves), [Entry(name, (name,)) for name in own]
    _check(path, source, stored, own, entries)
    parts = source.read([entry.theirs[0] for entry in entries])
    return {entry.ours: place(entry.load(parts, own[entry.ours].shape), own[entry.ours]) for entry in entries}


def _check(path: Path, source: Source, stored: Sequence[str], own: Mapping, entries: Sequence[Entry]) -> None:
    shapes = {entry.theirs[0]: entry.part_shape(own[entry.ours].shape) for entry in entries}
    found = {name: leaf for name, leaf in source.leaves.items() if name in (*stored, *shapes)}
    lines = leaf_differences(shapes, shapes_of(found))
    if lines:
        raise CheckpointError(
            f"{path}: not the projector of this model:{listed_lines(lines)}\nUse the --architecture, --siglip_variant "
            "and --gemma_variant that it was trained with"
        )


def _layers(leaves: Mapping) -> list[str]:
    """Our layers in the order in which they are applied."""
    return sorted({name.rpartition("/")[0] for name in leaves})


def _torch_entries(own: Mapping, stems: Sequence[str]) -> list[Entry]:
    """Our layers and torch's, in the order in which both apply them; one that torch lacks is called layer<n>."""
    entries = []
    for index, layer in enumerate(_layers(own)):
        stem = stems[index] if index < len(stems) else f"layer{index}"
        weight, bias = (f"{stem}.{name}".lstrip(".") for name in ("weight", "bias"))
        entries += [Entry(f"{layer}/kernel", (weight,), LINEAR), Entry(f"{layer}/bias", (bias,))]
    return entries


def _torch_leaves(source: TorchSource) -> list[str]:
    """The names of a torch file that belong to the projector: those below its name, else all."""
    named = [name for name in source.leaves if set(name.split(".")) & set(_TORCH_NAMES)]
    return named or list(source.leaves)
