"""Full-size weights: seconds and peak memory of every source, and what the dtypes do to V. Figures: docs/numerics.md.

    python benchmarks/weights.py OUTPUT_DIR          # 13 GB of disk, removed at the end

Generated files of the published names, shapes and dtypes; each source is loaded in a process of its own.
"""

import argparse
import dataclasses
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.batch import Observation
from pistar_vf.categorical import expected_value
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import unflatten
from pistar_vf.testing.fake_weights import published_model_config, random_params, write_fake_bundle
from pistar_vf.training.state import held_shapes
from pistar_vf.weights.bundle import GEMMA_FOLDER, SIGLIP_FILE, VALUE_MODEL_FOLDER
from pistar_vf.weights.export import export_huggingface, write_safetensors
from pistar_vf.weights.pretrained import ValueModelWeightLoader, init_params
from pistar_vf.weights.weight_files import model_leaves

MODEL = published_model_config()
SOURCES = {
    "bundle": [VALUE_MODEL_FOLDER],
    "base": [SIGLIP_FILE, GEMMA_FOLDER],
    "huggingface": [Path("hf/siglip"), Path("hf/gemma-3-270m")],
    "safetensors": [Path("all.safetensors")],
}


def wanted(frozen_dtype: str) -> dict[str, jax.ShapeDtypeStruct]:
    placement = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    held = held_shapes(model_leaves(MODEL), "all_backbones", jnp.dtype(frozen_dtype))
    return {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placement) for name, leaf in held.items()}


def load(folder: Path, source: str, frozen_dtype: str) -> dict[str, jax.Array]:
    leaves = wanted(frozen_dtype)
    restored = ValueModelWeightLoader([folder / path for path in SOURCES[source]], MODEL).load(leaves)
    missing = {name: leaf for name, leaf in leaves.items() if name not in restored}
    return {**restored, **(init_params(ValueFunction(MODEL), 0, missing) if missing else {})}


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_load(folder: Path, source: str, frozen_dtype: str) -> dict[str, float]:
    jnp.zeros(1).block_until_ready()
    before, started = peak_gib(), time.perf_counter()
    params = jax.block_until_ready(load(folder, source, frozen_dtype))
    size = sum(leaf.nbytes for leaf in params.values()) / 2**30
    peak = peak_gib() - before
    return {"seconds": time.perf_counter() - started, "params_gib": size, "peak_gib": peak, "ratio": peak / size}


def values(params: dict[str, jax.Array], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    frames = 4
    observation = Observation(
        images={name: rng.integers(0, 256, (frames, 224, 224, 3), dtype=np.uint8) for name in MODEL.cameras},
        image_masks={name: np.ones(frames, bool) for name in MODEL.cameras},
        tokenized_prompt=rng.integers(1, 262_144, (frames, 48)).astype(np.int32),
        tokenized_prompt_mask=np.arange(48)[None] < np.array([[10], [20], [30], [48]]),
    )
    value_function = ValueFunction(dataclasses.replace(MODEL, dtype=dtype))
    logits = jax.jit(value_function.apply)(unflatten(params), observation)
    return np.asarray(expected_value(logits, MODEL.support))


def measure_values(folder: Path) -> dict[str, float]:
    """Largest difference of V from float32 throughout; the spread over the frames gives the scale."""
    reference = values(load(folder, "bundle", "float32"), "float32")
    bf16_compute = values(load(folder, "bundle", "float32"), "bfloat16")
    frozen = load(folder, "bundle", "bfloat16")
    return {
        "value_spread": float(np.ptp(reference)),
        "frozen_bf16": float(np.abs(values(frozen, "float32") - reference).max()),
        "compute_bf16": float(np.abs(bf16_compute - reference).max()),
        "both": float(np.abs(values(frozen, "bfloat16") - reference).max()),
    }


def write_files(folder: Path) -> None:
    params = random_params(MODEL)
    write_fake_bundle(folder, params, head="random", base_weights=True)
    export_huggingface(params, folder / "hf", MODEL, jnp.bfloat16)
    write_safetensors(folder / "all.safetensors", params)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--step", nargs="+", help="internal: one measurement, in this process")
    args = parser.parse_args()
    if args.step:
        name, *rest = args.step
        step = {"write": write_files, "load": measure_load, "values": measure_values}[name]
        print(json.dumps(step(args.folder, *rest)))
        return
    args.folder.mkdir(parents=True)
    loads = [["load", source, dtype] for source in SOURCES for dtype in ("float32", "bfloat16")]
    try:
        for step in (["write"], *loads, ["values"]):
            command = [sys.executable, __file__, str(args.folder), "--step", *step]
            started = time.perf_counter()
            run = subprocess.run(command, capture_output=True, text=True)
            result = run.stdout.strip().splitlines()[-1] if run.returncode == 0 else run.stderr[-2000:]
            print(f"{' '.join(step):<28} {time.perf_counter() - started:6.1f} s  {result}", flush=True)
    finally:
        shutil.rmtree(args.folder)


if __name__ == "__main__":
    main()
