"""Random weights in the layout, names, shapes and dtypes of the published files, at any size.

For tests of everything that reads weights, without a download. `published_model_config()` gives the full size.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np

from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_model import ValueModelConfig
from pistar_vf.params import unflatten
from pistar_vf.typing import DTypeLike, Params
from pistar_vf.weights.bundle import SIGLIP_FILE, VALUE_MODEL_FOLDER
from pistar_vf.weights.export import export_base, write_npz
from pistar_vf.weights.sources import NpzSource
from pistar_vf.weights.weight_files import model_leaves

Head = Literal["none", "random", "zeros"]


def published_model_config() -> ValueModelConfig:
    """The value model of the bundle: So400m/14 and Gemma 3 270M, two cameras, no state."""
    return ValueModelConfig(
        siglip=siglip.VARIANTS["So400m/14"],
        gemma=gemma3.VARIANTS["gemma3_270m"],
        cameras=("base_0_rgb", "wrist_0_rgb"),
        state_encoding="none",
    )


def random_params(model: ValueModelConfig, seed: int = 0, dtype: DTypeLike = np.float32) -> Params:
    """Random numbers in every leaf, biases and norm scales too, so that a forgotten leaf shows.

    Args:
        model: decides names and shapes.
        seed: of the numbers.
        dtype: of the leaves.

    Returns:
        Flat dict of numpy arrays with activations of order 1.
    """
    rng = np.random.default_rng(seed)
    return {name: random_leaf(name, leaf.shape, rng).astype(dtype) for name, leaf in model_leaves(model).items()}


def random_leaf(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Noise of 0.05 (0.02 at full width); around 1 where the model multiplies by the leaf itself."""
    leaf = rng.standard_normal(shape, dtype=np.float32)
    leaf *= 0.02 if max(shape) > 512 else 0.05
    # LayerNorm multiplies by its scale, the decoder's RMSNorm by 1 + scale.
    if name.endswith("scale") and not name.startswith("llm/"):
        leaf += 1.0
    return leaf


def write_fake_bundle(
    bundle: Path,
    params: Params,
    *,
    head: Head = "none",
    tokenizer_model: bytes | None = None,
    base_weights: bool = False,
    seed: int = 0,
) -> Path:
    """A VLM bundle, ready for $OPENPI_VLM_CKPT_DIR.

    Args:
        bundle: the folder to make.
        params: flat dict of a value model; its state projection is left out, as no bundle has one.
        head: whether the value model has the older `img/head` layer, and of what.
        tokenizer_model: content of `tokenizer.model`; None writes none.
        base_weights: write the base SigLIP and Gemma 3 too.
        seed: of `img/head` and of the moving average, which differs from `params` in the value head.

    Returns:
        The value model's directory.
    """
    bundle.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    if base_weights:
        write_fake_base_weights(bundle, params, seed=seed)
    if tokenizer_model is not None:
        (bundle / "tokenizer.model").write_bytes(tokenizer_model)
    leaves = {name: jnp.asarray(leaf) for name, leaf in params.items() if not name.startswith("state_projection/")}
    if head != "none":
        width = leaves["img/embedding/bias"].size
        scale = 0.0 if head == "zeros" else 1.0
        leaves["img/head/kernel"] = jnp.asarray(scale * random_leaf("kernel", (width, width), rng))
        leaves["img/head/bias"] = jnp.asarray(scale * random_leaf("bias", (width,), rng))
    ema = {name: leaf * 0.5 if name.startswith("value_head/") else leaf for name, leaf in leaves.items()}
    (bundle / VALUE_MODEL_FOLDER.parent).mkdir(exist_ok=True)
    tree = {"params": unflatten(leaves), "ema_params": unflatten(ema), "step": jnp.asarray(20_000, jnp.int32)}
    write_tree(bundle / VALUE_MODEL_FOLDER, tree)
    return bundle / VALUE_MODEL_FOLDER


def write_fake_base_weights(bundle: Path, params: Params, *, layers_apart: bool = False, seed: int = 0) -> None:
    """Base SigLIP 2 (npz, with its pooling head and text tower) and Gemma 3 (orbax, bfloat16) of a bundle.

    Args:
        bundle: the folder they go into.
        params: flat dict of a value model.
        layers_apart: `encoderblock_0`, … instead of one stacked `encoderblock`.
        seed: of the leaves that a value model does not have.
    """
    export_base(params, bundle)
    npz = bundle / SIGLIP_FILE
    source = NpzSource(npz)
    arrays = dict(zip(source.leaves, source.read(list(source.leaves))))
    write_npz(npz, {**(_apart(arrays) if layers_apart else arrays), **_beside_the_tower(seed)})


def _apart(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    stacked = "params/img/Transformer/encoderblock/"
    apart = {name: array for name, array in arrays.items() if not name.startswith(stacked)}
    for name in arrays.keys() - apart.keys():
        for index, layer in enumerate(arrays[name]):
            apart[f"{stacked[:-1]}_{index}/{name.removeprefix(stacked)}"] = layer
    return apart


def _beside_the_tower(seed: int) -> dict[str, np.ndarray]:
    """Names of big_vision's two-tower model that the value model does not read; their sizes do not matter."""
    rng = np.random.default_rng(seed)
    names = ("img/MAPHead_0/probe", "img/MAPHead_0/LayerNorm_0/scale", "txt/Embed_0/embedding", "txt/head/kernel")
    arrays = {f"params/{name}": rng.standard_normal((2, 3), dtype=np.float32) for name in names}
    return arrays | {"params/t": np.ones(1, np.float32), "params/b": np.zeros(1, np.float32)}
