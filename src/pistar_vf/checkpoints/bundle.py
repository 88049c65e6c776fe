"""Warm start from the VLM bundle's value model (`gemma-3-270m/step_00020000`).

The tree has our own names. Older bundles carry one layer more, `img/head` (1152→1152) behind the vision tower, whose
output `img_projection` was trained on; it is folded into `img_projection` exactly:
K' = K_head K_proj and b' = b_head K_proj + b_proj.
"""

import logging
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from pistar_vf.checkpoints.manager import step_name
from pistar_vf.checkpoints.orbax_tree import read_tree, tree_shapes
from pistar_vf.errors import CheckpointError
from pistar_vf.params import flatten, unflatten
from pistar_vf.typing import Params

_log = logging.getLogger(__name__)

BUNDLE_VARIABLE = "OPENPI_VLM_CKPT_DIR"
DEFAULT_BUNDLE = "~/Downloads/vlm_ckpt"
BUNDLE_STEP = 20_000
_HEAD = ("img/head/kernel", "img/head/bias")
_FRESH = "state_projection/"
"""Leaves that only this library has; they keep their random values."""


def load_bundle_params(params: Params) -> Params:
    """Reads the bundle's value of every leaf of `params` but the state projection.

    Args:
        params: flat dict of the model's own arrays, which give shapes and placements.

    Returns:
        Flat dict of the restored leaves.

    Raises:
        CheckpointError: the bundle is missing, or a leaf is missing, extra or of another shape.
    """
    path = bundle_checkpoint()
    started = time.perf_counter()
    stored = {name.removeprefix("params/"): s for name, s in tree_shapes(path).items() if name.startswith("params/")}
    wanted = {name: leaf for name, leaf in params.items() if not name.startswith(_FRESH)}
    has_head = set(_HEAD) <= set(stored) and not set(_HEAD) & set(wanted)
    extra = sorted(set(stored) - set(wanted) - (set(_HEAD) if has_head else set()))
    if extra:
        listed = "\n  ".join(f"+ {name} {stored[name]}" for name in extra[:20])
        raise CheckpointError(f"{path}: {len(extra)} leaves have no place in this model:\n  {listed}")
    abstract = {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) for name, x in wanted.items()}
    if has_head:
        # Folding multiplies it with the projection, so it must live on the same devices.
        placement = wanted["img_projection/bias"].sharding
        abstract |= {name: jax.ShapeDtypeStruct(stored[name], jnp.float32, sharding=placement) for name in _HEAD}
    restored = flatten(read_tree(path, {"params": unflatten(abstract)})["params"])
    _log.info("Finished restoring checkpoint in %.2f seconds.", time.perf_counter() - started)
    _log.info(
        "ValueModelWeightLoader: restored %d leaf arrays from %s (key=params, step=%d)",
        len(restored),
        path,
        BUNDLE_STEP,
    )
    return _fold_head(restored, path) if has_head else restored


def bundle_checkpoint() -> Path:
    """The value model's directory inside the bundle.

    Raises:
        CheckpointError: it is not there; says what belongs where.
    """
    bundle = Path(os.environ.get(BUNDLE_VARIABLE, DEFAULT_BUNDLE)).expanduser()
    path = bundle / "gemma-3-270m" / step_name(BUNDLE_STEP)
    if not path.is_dir():
        raise CheckpointError(
            f"--load_pretrained: expected the VLM bundle's value model at {path}, found nothing. Download the bundle "
            f"(tokenizer.model, gemma-3-270m/{step_name(BUNDLE_STEP)}/) and put it at {DEFAULT_BUNDLE}, or set "
            f"{BUNDLE_VARIABLE} to where it is"
        )
    _log.info("Restoring checkpoint from %s.", path)
    return path


def _fold_head(flat: Params, path: Path) -> Params:
    kernel, bias = flat["img/head/kernel"], flat["img/head/bias"]
    if not bool(jnp.any(kernel != 0)):
        raise CheckpointError(
            f"{path}: img/head/kernel is all zeros, so the vision tower of this checkpoint carries no information: "
            "its values cannot depend on the images. Use another bundle, or train from the base weights"
        )
    projection = flat["img_projection/kernel"]
    folded = {
        "img_projection/kernel": kernel @ projection,
        "img_projection/bias": bias @ projection + flat["img_projection/bias"],
    }
    return {name: leaf for name, leaf in {**flat, **folded}.items() if name not in _HEAD}
