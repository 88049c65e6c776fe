"""One small value model, written in every layout."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.batch import Observation
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import unflatten
from pistar_vf.testing.fake_weights import random_params, write_fake_base_weights, write_fake_bundle
from pistar_vf.testing.tiny import tiny_model_config
from pistar_vf.weights.bundle import GEMMA_FOLDER, SIGLIP_FILE
from pistar_vf.weights.export import export_huggingface, write_safetensors
from pistar_vf.weights.pretrained import ValueModelWeightLoader
from pistar_vf.weights.weight_files import model_leaves

_TINY = tiny_model_config(state_encoding="none")
MODEL = dataclasses.replace(_TINY, siglip=dataclasses.replace(_TINY.siglip, depth=2, image_size=42))
"""No two sizes alike where a mix-up could hide, nine patches."""
TOWERS = ("img/", "llm/")


def bf16_params(model=MODEL, seed=0):
    """Numbers that bfloat16 holds exactly, as float32."""
    return {name: leaf.astype(np.float32) for name, leaf in random_params(model, seed, jnp.bfloat16).items()}


def write_layout(layout, folder, params, dtype=jnp.bfloat16):
    """Writes `params`; returns the paths to load."""
    if layout == "bundle":
        return [write_fake_bundle(folder, params)]
    if layout in ("base stacked", "base apart"):
        write_fake_base_weights(folder, params, layers_apart=layout == "base apart")
        return [folder / SIGLIP_FILE, folder / GEMMA_FOLDER]
    if layout == "huggingface":
        export_huggingface(params, folder, MODEL, dtype)
        return [folder / "siglip", folder / "gemma-3-270m"]
    folder.mkdir()
    write_safetensors(folder / "all.safetensors", {name: leaf.astype(dtype) for name, leaf in params.items()})
    return [folder / "all.safetensors"]


LAYOUTS = ("bundle", "base stacked", "base apart", "huggingface", "safetensors")


def held_by(layout, params):
    """What a layout can hold of a value model."""
    towers_only = layout.startswith("base") or layout == "huggingface"
    return {name: leaf for name, leaf in params.items() if not towers_only or name.startswith(TOWERS)}


def wanted(model=MODEL, dtype=jnp.float32):
    placement = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return {
        name: jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=placement) for name, leaf in model_leaves(model).items()
    }


def load(paths, model=MODEL, **options):
    return ValueModelWeightLoader(paths, model, **options).load(wanted(model))


def assert_bitwise(found, expected):
    assert found.keys() == expected.keys()
    for name, leaf in expected.items():
        assert np.asarray(found[name]).dtype == np.asarray(leaf).dtype, name
        assert np.asarray(found[name]).tobytes() == np.asarray(leaf).tobytes(), name


def random_observation(model=MODEL):
    rng = np.random.default_rng(3)
    size = model.siglip.image_size
    return Observation(
        images={name: rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8) for name in model.cameras},
        image_masks={name: np.ones(2, bool) for name in model.cameras},
        tokenized_prompt=rng.integers(1, 64, (2, 6)).astype(np.int32),
        tokenized_prompt_mask=np.ones((2, 6), bool),
    )


def logits(params, model=MODEL):
    """The forward pass of a flat dict."""
    return np.asarray(jax.jit(ValueFunction(model).apply)(unflatten(params), random_observation(model)))
