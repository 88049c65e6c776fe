"""What weights on disk hold, in words."""

import math
from collections.abc import Mapping
from pathlib import Path

from pistar_vf.checkpoints.layout import complete_steps, find_checkpoint
from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.returns import Normaliser, in_words
from pistar_vf.weights.bundle import GEMMA_FOLDER, SIGLIP_FILE, VALUE_MODEL_FOLDER
from pistar_vf.weights.name_tables import Leaves
from pistar_vf.weights.weight_files import WeightFile, open_weights, uninformative_leaf


def describe_weights(path: Path, *, leaves: bool = True) -> str:
    """A description of a checkpoint, a training directory, a bundle, or any file `open_weights` knows.

    Args:
        path: of a bundle, every part that is there is described.
        leaves: list every leaf with its shape and dtype.

    Raises:
        CheckpointError: nothing is there, it is damaged, or it is none of these.
    """
    path = Path(path).expanduser()
    parts = [path / part for part in (SIGLIP_FILE, GEMMA_FOLDER, VALUE_MODEL_FOLDER) if (path / part).exists()]
    if not parts and (complete_steps(path) or complete_steps(path / "best")) and not (path / "_METADATA").exists():
        parts = [find_checkpoint(path)]
    # A folder that only leads to the value model is no model itself.
    parts = [part for part in parts if part != path / GEMMA_FOLDER or (part / "_METADATA").exists()]
    return "\n\n".join(_describe(open_weights(part), leaves) for part in parts or [path])


def _describe(file: WeightFile, leaves: bool) -> str:
    stored = file.source.leaves
    lines = [
        str(file.source.path),
        f"  kind:        {file.kind}",
        f"  leaves:      {len(stored)}, {_size(stored).lstrip()}",
    ]
    if file.kind == "value model":
        lines += [f"  step:        {'unknown' if file.step is None else file.step}", f"  tower:       {_tower(file)}"]
        lines += _spec_lines(file.spec)
    parts = _parts(stored)
    width = max(map(len, parts))
    lines += ["  parts:", *(f"    {name:<{width}}  {_size(part)}" for name, part in parts.items())]
    if leaves:
        width = max(map(len, stored))
        lines.append("  tree:")
        lines += [f"    {name:<{width}}  {leaf.dtype!s:<8}  {leaf.shape}" for name, leaf in sorted(stored.items())]
    return "\n".join(lines)


def _tower(file: WeightFile) -> str:
    zeros = uninformative_leaf(file)
    return "informative" if zeros is None else f"NOT informative: {zeros} is all zeros, images cannot reach the values"


def _spec_lines(spec: ValueSpec | None) -> list[str]:
    if spec is None:
        return ["  value_spec:  none: good to start a training from, not to predict with"]
    support, state = spec.model.support, spec.state
    values = f"{support.num_atoms} atoms on [{support.v_min}, {support.v_max}]"
    return [
        f"  values:      {values}, labels {in_words(spec.label_conventions)}, unit {_unit(spec.normaliser)}",
        f"  cameras:     {', '.join(f'{name} ({key})' for name, key in spec.camera_keys.items())}",
        f"  images:      {spec.model.siglip.image_size} px, {spec.image_fit}",
        f"  state:       {'not read' if state is None else f'{state.dim} numbers ({state.key})'}",
        f"  tokenizer:   sha256 {spec.tokenizer_sha256[:12]}…",
    ]


def _unit(normaliser: Normaliser | None) -> str:
    if normaliser is None:
        return "unknown"
    lengths = ", ".join(f"'{task}' {length} frames" for task, length in normaliser.max_lengths.items())
    return f"{normaliser.rule} ({lengths})" if lengths else normaliser.rule


def _parts(stored: Leaves) -> dict[str, Leaves]:
    """Leaves by the first part of their name; below `params` by the second."""
    parts: dict[str, dict] = {}
    for name, leaf in stored.items():
        first, _, rest = name.partition("/")
        key = f"{first}/{rest.split('/')[0]}" if first == "params" else first.split(".")[0]
        parts.setdefault(key, {})[name] = leaf
    return dict(sorted(parts.items()))


def _size(stored: Leaves | Mapping) -> str:
    count = sum(math.prod(leaf.shape) for leaf in stored.values())
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in stored.values())
    dtypes = ", ".join(sorted({str(leaf.dtype) for leaf in stored.values()}))
    return f"{count:>11,} numbers, {size / 2**20:>7,.1f} MiB, {dtypes}"
