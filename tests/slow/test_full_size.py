"""The published sizes, once: 3 GB of parameters, minutes (`make test-slow`); docs/numerics.md has the figures."""

import dataclasses
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.models.gemma3 import Gemma3
from pistar_vf.models.siglip import Siglip
from pistar_vf.models.value_model import ValueFunction, _replace_by_dict
from pistar_vf.params import flatten, unflatten
from pistar_vf.testing.fake_weights import published_model_config, random_params, write_fake_bundle
from pistar_vf.tokenizer import train_prompt_tokenizer
from pistar_vf.weights.export import export_huggingface
from pistar_vf.weights.pretrained import ValueModelWeightLoader

pytestmark = pytest.mark.slow

MODEL = published_model_config()
SCRIPT = Path(__file__).parents[2] / "scripts" / "train_value.py"
LINES = (
    r"使用本地 Gemma3 tokenizer: .*tokenizer\.model",
    r"加载 SigLIP \+ Gemma3-270M 预训练权重\.\.\.",
    r"Restoring checkpoint from .*step_00020000\.",
    r"Finished restoring checkpoint in \d+\.\d\d seconds\.",
    r"ValueModelWeightLoader: restored 241 leaf arrays from .*step_00020000 \(key=params, step=20000\)",
    r"✓ 预训练权重加载完成",
    r"模型初始化完成",
    r"JIT编译完成,开始训练",
    r"训练完成!",
)


@pytest.fixture
def folder(tmp_path):
    """Removed at once: pytest keeps the last three, and this is 11 GB."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def test_the_documented_smoke_test_on_a_full_size_bundle(folder, tiny_dataset):
    tokenizer = train_prompt_tokenizer(load_lerobot(tiny_dataset).prompts).model
    write_fake_bundle(folder / "vlm_ckpt", random_params(MODEL), head="random", tokenizer_model=tokenizer)
    words = f"""--data_dir {tiny_dataset} --checkpoint_dir {folder / "checkpoints"} --batch_size 4 --num_train_steps 5
        --save_interval 100 --val_interval 0 --load_pretrained --wandb_mode disabled --cache_dir {folder / "cache"}
        --tokenizer_path {folder / "vlm_ckpt" / "tokenizer.model"}"""
    environment = {"OPENPI_VLM_CKPT_DIR": str(folder / "vlm_ckpt"), "JAX_PLATFORMS": "cpu", "HOME": str(folder)}
    started = time.perf_counter()
    run = subprocess.run([sys.executable, SCRIPT, *words.split()], capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - started
    output = run.stdout + run.stderr
    print(output, f"smoke test: {seconds:.0f} s")
    assert run.returncode == 0, output
    positions = [match.start() if (match := re.search(line, output)) else None for line in LINES]
    assert None not in positions, [line for line, at in zip(LINES, positions) if at is None]
    assert positions[:-1] == sorted(positions[:-1])
    assert seconds < 600


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(Hugging Face folder, our leaves read back from it)."""
    folder = tmp_path_factory.mktemp("full_size")
    export_huggingface(random_params(MODEL, seed=1), folder, MODEL)
    placement = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    leaves = ValueFunction(MODEL).shapes()
    wanted = {n: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placement) for n, x in flatten(leaves).items()}
    params = ValueModelWeightLoader([folder / "siglip", folder / "gemma-3-270m"], MODEL).load(wanted)
    yield folder, params
    shutil.rmtree(folder)


def relative_error(found, expected):
    error = float(np.abs(np.asarray(found, np.float32) - expected).max() / np.abs(expected).max())
    print(f"relative error {error:.1e}")
    return error


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("bfloat16", 3e-2)])
def test_siglip_against_transformers(exported, dtype, bound):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder, params = exported
    reference = transformers.SiglipVisionModel.from_pretrained(folder / "siglip").eval()
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    with torch.no_grad():
        expected = reference(torch.from_numpy(pixels).permute(0, 3, 1, 2)).last_hidden_state.numpy()
    tower = bound_module(
        lambda rngs: Siglip(MODEL.siglip, dtype=jnp.dtype(dtype), remat=False, rngs=rngs), params, "img/"
    )
    assert relative_error(jax.jit(tower)(pixels), expected) < bound


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("bfloat16", 3e-2)])
def test_gemma_beyond_its_window_against_transformers(exported, dtype, bound):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder, params = exported
    reference = transformers.Gemma3ForCausalLM.from_pretrained(folder / "gemma-3-270m").model.eval()
    tokens = np.random.default_rng(0).integers(1, 262_144, (1, 560))
    with torch.no_grad():
        expected = reference(torch.from_numpy(tokens)).last_hidden_state.numpy()
    causal = dataclasses.replace(MODEL.gemma, bidirectional=False)
    llm = bound_module(lambda rngs: Gemma3(causal, dtype=jnp.dtype(dtype), remat=False, rngs=rngs), params, "llm/")
    hidden = jax.jit(lambda t: llm(llm.embedder(t), jnp.ones(t.shape, bool)))(tokens)
    assert relative_error(hidden, expected) < bound


def bound_module(create, params, prefix):
    """One tower with its part of a flat dict."""
    graphdef, state = nnx.split(nnx.eval_shape(lambda: create(nnx.Rngs(params=0))))
    part = {name.removeprefix(prefix): leaf for name, leaf in params.items() if name.startswith(prefix)}
    _replace_by_dict(state, unflatten(part))
    return nnx.merge(graphdef, state)
