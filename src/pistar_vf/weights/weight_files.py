"""What lies at a path: a value model, a vision tower or a language model, and in which format."""

import dataclasses
import functools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

from pistar_vf.checkpoints import value_spec
from pistar_vf.checkpoints.value_spec import ValueSpec, load_value_spec
from pistar_vf.errors import CheckpointError
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import flatten
from pistar_vf.weights import huggingface_config as hf
from pistar_vf.weights import name_tables as tables
from pistar_vf.weights.downloads import missing_tower
from pistar_vf.weights.name_tables import Leaves, Table
from pistar_vf.weights.sources import NpzSource, OrbaxSource, SafetensorsSource, Source
from pistar_vf.weights.torch_file import SUFFIXES as TORCH_SUFFIXES
from pistar_vf.weights.torch_file import TorchSource

Key = Literal["params", "ema_params"]
MakeTable = Callable[[Leaves, Collection[str]], Table]
Kind = Literal["value model", "vision tower", "language model"]


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """A recognised file or folder.

    Attributes:
        source: reads it.
        kind: what it holds.
        make_table: (our leaves, the file's names) to the format's table.
        key: which of the two trees of a value model is read; None where there is only one.
        spec: what the values of a checkpoint mean; None for files of other programs.
        config: content of a Hugging Face `config.json`.
    """

    source: Source
    kind: Kind
    make_table: MakeTable
    key: Key | None = None
    spec: ValueSpec | None = None
    config: dict[str, Any] | None = None

    @property
    def step(self) -> int | None:
        """Number of updates that made the weights, where the file says it."""
        return int(next(self.source.read(["step"]))) if "step" in self.source.leaves else None

    def table(self, ours: Leaves) -> Table:
        """The names of this file's leaves."""
        return self.make_table(ours, self.source.leaves)

    def config_problems(self, model: ValueModelConfig) -> list[str]:
        """`≠` lines: settings that shapes do not show and that the file has otherwise than the model."""
        if self.config is not None:
            return hf.config_problems(self.config, model.siglip, model.gemma)
        return [] if self.spec is None else _spec_problems(self.spec.model, model)

    def num_positions(self, model: ValueModelConfig) -> int | None:
        """Rows that the position embedding must have by the file's own account; None when it does not say."""
        if self.config is not None and self.kind == "vision tower":
            return hf.stored_tokens(self.config, model.siglip.patch_size)
        return None if self.spec is None else self.spec.model.siglip.num_tokens


def open_weights(path: Path, key: Key = "params") -> WeightFile:
    """Recognises weights by what is in them.

    Args:
        path: an .npz, a .safetensors or a torch file (.pt, .pth, .bin), a Hugging Face folder, or an orbax directory.
        key: tree to read from a value model that has `params` and `ema_params`.

    Raises:
        CheckpointError: nothing is there, it is damaged, or it is none of these.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise missing_tower(path, f"{path}: expected weights, found nothing")
    if path.suffix == ".npz":
        return WeightFile(NpzSource(path), "vision tower", tables.siglip_npz_table)
    if path.suffix == ".safetensors":
        return WeightFile(SafetensorsSource(path), "value model", _value_model_table(""))
    if path.suffix in TORCH_SUFFIXES:
        return _torch(path)
    if any((path / name).exists() for name in ("config.json", "model.safetensors", "model.safetensors.index.json")):
        return _huggingface(path)
    return _orbax(path, key)


def _huggingface(path: Path) -> WeightFile:
    config = hf.read_config(path)
    pickled = path / "pytorch_model.bin"
    source = TorchSource(pickled) if not _has_safetensors(path) and pickled.is_file() else SafetensorsSource(path)
    if config["model_type"] in hf.GEMMA_TYPES:
        return WeightFile(source, "language model", tables.gemma_huggingface_table, config=config)
    return WeightFile(source, "vision tower", tables.siglip_huggingface_table, config=config)


def _has_safetensors(path: Path) -> bool:
    return any((path / name).exists() for name in ("model.safetensors", "model.safetensors.index.json"))


def _torch(path: Path) -> WeightFile:
    """A state dict alone: its names say what it is."""
    source = TorchSource(path)
    if any(name.endswith("self_attn.q_norm.weight") for name in source.leaves):
        return WeightFile(source, "language model", tables.gemma_huggingface_table)
    if any(name.endswith("embeddings.patch_embedding.weight") for name in source.leaves):
        return WeightFile(source, "vision tower", tables.siglip_huggingface_table)
    return WeightFile(source, "value model", _value_model_table(""))


def _orbax(path: Path, key: Key) -> WeightFile:
    source = OrbaxSource(path)
    if any(name.startswith("transformer/") for name in source.leaves):
        return WeightFile(source, "language model", tables.gemma_orbax_table)
    if not any(name.startswith(f"{key}/") for name in source.leaves):
        found = ", ".join(sorted({name.split("/")[0] for name in source.leaves})[:8]) or "nothing"
        raise CheckpointError(
            f"{path}: expected an orbax checkpoint with the key {key} (a value model) or transformer/… (Google's "
            f"Gemma 3), found {found}"
        )
    spec = load_value_spec(path) if (path / value_spec.FILE_NAME).is_file() else None
    return WeightFile(source, "value model", _value_model_table(f"{key}/"), key=key, spec=spec)


def _value_model_table(prefix: str) -> MakeTable:
    return functools.partial(tables.value_model_table, prefix=prefix)


def _spec_problems(stored: ValueModelConfig, model: ValueModelConfig) -> list[str]:
    """Differences of the architecture; the image size may differ (the position embedding is interpolated).

    Projector, fusion, head, and adapters that only one of the two has, show in the leaves.
    """
    lines = []
    if stored.readout != model.readout:
        lines.append(f"≠ {value_spec.FILE_NAME} readout: expected {model.readout}, got {stored.readout}")
    if stored.lora is not None and model.lora is not None and stored.lora.alpha != model.lora.alpha:
        lines.append(f"≠ {value_spec.FILE_NAME} lora.alpha: expected {model.lora.alpha}, got {stored.lora.alpha}")
    for part in ("siglip", "gemma", "support"):
        theirs, ours = dataclasses.asdict(getattr(stored, part)), dataclasses.asdict(getattr(model, part))
        lines += [
            f"≠ {value_spec.FILE_NAME} {part}.{name}: expected {ours[name]}, got {value}"
            for name, value in theirs.items()
            if value != ours[name] and name not in ("image_size", "head")
        ]
    return lines


def uninformative_leaf(file: WeightFile) -> str | None:
    """The all-zero leaf that keeps a value model from seeing its images; None where there is none."""
    if file.kind != "value model":
        return None
    prefix = f"{file.key}/" if file.key else ""
    names = [prefix + name for name in (tables.HEAD_KERNEL, *tables.PROJECTION_KERNELS)]
    present = [name for name in names if name in file.source.leaves]
    return next((name for name, leaf in zip(present, file.source.read(present)) if not leaf.any()), None)


def model_leaves(model: ValueModelConfig) -> Leaves:
    """Names, shapes and dtypes of a model's own tree, without allocating it."""

    return flatten(ValueFunction(model).shapes())
