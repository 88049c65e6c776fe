"""A value model into the files of other programs; the same name tables as on the way in.

Writers take flat dicts of arrays. `write_*` functions for one file, `export_*` for a layout of several.
"""

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.errors import CheckpointError
from pistar_vf.models.lora import LORA
from pistar_vf.models.value_model import ValueModelConfig
from pistar_vf.typing import Array, DTypeLike, Params
from pistar_vf.weights import huggingface_config as hf
from pistar_vf.weights import name_tables as tables
from pistar_vf.weights.bundle import GEMMA_FOLDER, SIGLIP_FILE
from pistar_vf.weights.name_tables import Table
from pistar_vf.weights.sources import SAFETENSORS_DTYPES

SIGLIP_FOLDER = "siglip"


def store_as(table: Table, params: Params, dtype: DTypeLike) -> dict[str, np.ndarray]:
    """The leaves of a table, by their names in the file, mostly as views.

    Args:
        table: a format's names.
        params: flat dict of our leaves.
        dtype: of the stored numbers.
    """
    parts: dict[str, np.ndarray] = {}
    for entry in table.entries:
        stored = entry.store(params[entry.ours])
        parts |= {name: part.astype(dtype, copy=False) for name, part in stored.items()}
    return parts


def export_base(params: Params, folder: Path, dtype: DTypeLike = jnp.bfloat16) -> None:
    """The towers as the bundle has them: big_vision's npz (float32, stacked) and Google's Gemma 3 orbax directory.

    Args:
        params: flat dict of a value model.
        folder: becomes a bundle without value model.
        dtype: of Gemma; Google's is bfloat16.

    Raises:
        CheckpointError: there are adapters, for which these files have no place.
    """
    _refuse_adapters(params)
    leaves = _shapes(params)
    (folder / SIGLIP_FILE).parent.mkdir(parents=True)
    write_npz(folder / SIGLIP_FILE, store_as(tables.siglip_npz_table(leaves, ()), params, np.float32))
    write_flat_orbax(folder / GEMMA_FOLDER, store_as(tables.gemma_orbax_table(leaves, ()), params, dtype))


def export_huggingface(params: Params, folder: Path, model: ValueModelConfig, dtype: DTypeLike = jnp.float32) -> None:
    """The towers as two Hugging Face folders, `siglip` and `gemma-3-270m`.

    Args:
        params: flat dict of a value model.
        folder: receives the two.
        model: written to the `config.json`s.
        dtype: of the stored numbers.

    Raises:
        CheckpointError: there are adapters, for which these files have no place.
    """
    _refuse_adapters(params)
    leaves = _shapes(params)
    # A stored name is enough to choose the published prefixes.
    siglip = tables.siglip_huggingface_table(leaves, ("vision_model.",))
    gemma = tables.gemma_huggingface_table(leaves, ("model.",))
    vision = {**hf.siglip_fields(model.siglip), "image_size": model.siglip.image_size, "vision_use_head": False}
    text = hf.gemma_fields(model.gemma)
    for name, table, config in (
        (SIGLIP_FOLDER, siglip, {"model_type": "siglip", "vision_config": vision}),
        (GEMMA_FOLDER.name, gemma, {"model_type": "gemma3_text", **text}),
    ):
        (folder / name).mkdir(parents=True)
        write_safetensors(folder / name / "model.safetensors", store_as(table, params, dtype))
        (folder / name / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """An uncompressed npz, one array in memory at a time; bfloat16 becomes two untyped bytes, as big_vision has it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            array = np.asarray(array)
            array = array.view("V2") if array.dtype == jnp.bfloat16 else array
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)


def write_safetensors(path: Path, arrays: Mapping[str, Array]) -> None:
    """One safetensors file.

    References:
        The safetensors format: 8 bytes of header length, a JSON header, the arrays one after the other.
    """
    names = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + math.prod(array.shape) * array.dtype.itemsize
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")


def write_flat_orbax(path: Path, arrays: Mapping[str, Array]) -> None:
    """Google's form: keys such as "transformer/layer_0/attn/q_einsum" that hold their leaf under its last name."""
    tree: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        module, leaf = name.rsplit("/", 1)
        tree.setdefault(module, {})[leaf] = jnp.asarray(array)
    write_tree(path, tree)


def _refuse_adapters(params: Params) -> None:
    adapters = [name for name in params if name.startswith(LORA)]
    if adapters:
        raise CheckpointError(
            f"expected plain weights, got {len(adapters)} leaves of low-rank adapters ({adapters[0]}, …), which the "
            "files of other programs have no place for; merge them first (pistar_vf.models.lora.merge_lora)"
        )


def _shapes(params: Params) -> tables.Leaves:
    return {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in params.items()}
