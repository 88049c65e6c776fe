"""Any weights into any layout; all or nothing."""

import dataclasses
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf import messages
from pistar_vf.checkpoints import value_spec
from pistar_vf.checkpoints.layout import TOKENIZER_FILE
from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.choices import StorageDtype, TargetLayout
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.models.lora import LoraConfig, merge_lora
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import unflatten
from pistar_vf.typing import Params
from pistar_vf.weights.bundle import VALUE_MODEL_FOLDER
from pistar_vf.weights.export import export_base, export_huggingface, write_safetensors
from pistar_vf.weights.name_tables import STATE
from pistar_vf.weights.pretrained import ValueModelWeightLoader, init_params
from pistar_vf.weights.weight_files import model_leaves, open_weights

_log = logging.getLogger(__name__)

_FLOAT32_ONLY = ("checkpoint", "bundle")


def convert_weights(
    paths: Sequence[Path],
    output: Path,
    to: TargetLayout,
    model: ValueModelConfig,
    *,
    dtype: StorageDtype = "float32",
    drop_state: bool = False,
    allow_uninformative_tower: bool = False,
    seed: int = 0,
) -> Path:
    """Reads weights as training would and writes them elsewhere.

    Args:
        paths: one value model, or a vision tower and a language model.
        output: the folder (for safetensors: the file) to make; it must not exist.
        to: layout of the result. A checkpoint or bundle keeps `params` and `ema_params`; the others get `params`.
        model: architecture without a spec of its own; ignored where the source has one.
        dtype: of the numbers in a base, huggingface or safetensors result.
        drop_state: leave the state projection out of a bundle, whose values then differ.
        allow_uninformative_tower: convert a value model that cannot see its images.
        seed: of the leaves that the source does not have.

    Returns:
        `output`.

    Raises:
        ConfigError: the output exists, or an option does not fit the layout.
        CheckpointError: the source is damaged or does not fit.
    """
    output = Path(output).expanduser()
    _check_request(output, to, dtype)
    model, step = source_model(paths, model)
    _check_tower(to, model)
    allow = allow_uninformative_tower
    params = _read(ValueModelWeightLoader(paths, model, allow_uninformative_tower=allow), model, seed)
    averages: Params = {}
    if to in _FLOAT32_ONLY and len(paths) == 1 and open_weights(paths[0]).key is not None:
        averages = _averages(
            ValueModelWeightLoader(paths, model, key="ema_params", allow_uninformative_tower=allow), params
        )
    averages = {**params, **averages}
    if model.lora is not None and to in ("bundle", "base", "huggingface"):
        params, averages = (_plain(tree, model.lora) for tree in (params, averages))
    if to == "bundle":
        if "img_projection/kernel" not in params:
            raise CheckpointError(
                "a bundle holds models of upstream's architecture, this one is stitched; use safetensors"
            )
        params = without_state(params, drop_state)
        averages = without_state(averages, drop_state=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{output.name}.partial-", dir=output.parent) as folder:
        staged = Path(folder) / output.name
        _write(staged, to, params, averages, step, model, dtype)
        if to in _FLOAT32_ONLY:
            _copy_companions(paths, staged, to)
        staged.rename(output)
    return output


def source_model(paths: Sequence[Path], model: ValueModelConfig) -> tuple[ValueModelConfig, int]:
    """(architecture, step) of what lies at `paths`: its own where it says so, else `model` with the file's state."""
    files = [open_weights(path) for path in paths]
    specs = [file.spec for file in files if file.spec is not None]
    if specs:
        return specs[0].model, files[0].step or 0
    states = [
        leaf.shape[0] for file in files for name, leaf in file.source.leaves.items() if name.endswith(STATE + "kernel")
    ]
    if states:
        model = dataclasses.replace(model, state_encoding="token", state_dim=states[0])
    else:
        model = dataclasses.replace(model, state_encoding="none", state_dim=0)
    return model, next((file.step for file in files if file.step is not None), 0)


def without_state(params: Params, drop_state: bool) -> Params:
    """The leaves of upstream's model.

    Raises:
        CheckpointError: there is a state projection, and dropping it was not asked for.
    """
    if any(name.startswith(STATE) for name in params) and not drop_state:
        raise CheckpointError(
            "this model reads the robot state, upstream's does not: in a bundle its state_projection has no place, and "
            "its values would differ. Train with --state_encoding none for upstream, or pass --drop_state to go on"
        )
    return {name: leaf for name, leaf in params.items() if not name.startswith(STATE)}


def _plain(params: Params, lora: LoraConfig) -> Params:
    """With the adapters added to the weights: other programs do not know them."""
    return {name: np.asarray(leaf) for name, leaf in merge_lora(params, lora).items()}


def _check_request(output: Path, to: TargetLayout, dtype: str) -> None:
    if output.exists():
        raise ConfigError(f"--output {output}: it exists already; choose a new path, or remove it first")
    if dtype != "float32" and to in _FLOAT32_ONLY:
        raise ConfigError(f"--dtype {dtype}: a {to} is always float32; use it with base, huggingface or safetensors")


def _check_tower(to: TargetLayout, model: ValueModelConfig) -> None:
    if model.siglip.keypoints and to in ("bundle", "base", "huggingface"):
        raise CheckpointError(f"--to {to}: it holds a SigLIP tower, this model's gives keypoints; use safetensors")


def _read(loader: ValueModelWeightLoader, model: ValueModelConfig, seed: int) -> Params:
    """Every leaf in float32 on the host; random where the files have none."""
    params = {name: np.asarray(leaf, np.float32) for name, leaf in loader.read()}
    placement = jax.sharding.SingleDeviceSharding(jax.local_devices(backend="cpu")[0])
    missing = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placement)
        for name, leaf in model_leaves(model).items()
        if name not in params
    }
    if missing:
        parts = ", ".join(sorted({name.split("/")[0] for name in missing}))
        _log.info(messages.RANDOM_LEAVES.format(count=len(missing), parts=parts))
    return {**params, **init_params(ValueFunction(model), seed, missing)}


def _averages(loader: ValueModelWeightLoader, params: Params) -> Params:
    """The leaves of `ema_params` that differ from `params`: the frozen ones are not held twice."""
    return {name: leaf for name, leaf in loader.read() if not np.array_equal(leaf, params[name])}


def _write(
    path: Path, to: TargetLayout, params: Params, ema: Params, step: int, model: ValueModelConfig, dtype: str
) -> None:
    if to in _FLOAT32_ONLY:
        folder = path / VALUE_MODEL_FOLDER if to == "bundle" else path
        folder.parent.mkdir(parents=True, exist_ok=True)
        shared = {name: jnp.asarray(leaf) for name, leaf in params.items()}
        averaged = {name: shared[name] if leaf is params[name] else jnp.asarray(leaf) for name, leaf in ema.items()}
        tree = {"params": unflatten(shared), "ema_params": unflatten(averaged), "step": jnp.asarray(step, jnp.int32)}
        write_tree(folder, tree)
    elif to == "base":
        export_base(params, path, jnp.dtype(dtype))
    elif to == "huggingface":
        export_huggingface(params, path, model, jnp.dtype(dtype))
    else:
        write_safetensors(path, {name: np.asarray(leaf).astype(jnp.dtype(dtype)) for name, leaf in params.items()})


def _copy_companions(paths: Sequence[Path], staged: Path, to: TargetLayout) -> None:
    """The tokenizer, and for a checkpoint the spec, where the source has them."""
    names = (TOKENIZER_FILE, value_spec.FILE_NAME) if to == "checkpoint" else (TOKENIZER_FILE,)
    for name in names:
        for path in paths:
            if (path / name).is_file():
                shutil.copyfile(path / name, staged / name)
    if to == "checkpoint" and not (staged / value_spec.FILE_NAME).is_file():
        _log.info(messages.NO_SPEC)
