"""Parity with Google's gemma package in float32, layer by layer, through a checkpoint that it reads itself."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.layer_outputs import FOUR_LAYERS, gemma_layers
from support.small_models import random_params, relative_error, small_value_function

from pistar_vf.models.gemma3 import VARIANTS
from pistar_vf.params import flatten
from pistar_vf.weights.bundle import GEMMA_FOLDER
from pistar_vf.weights.export import export_base

if not all(map(importlib.util.find_spec, ("gemma", "kauldron"))):
    pytest.skip("the reference implementation needs gemma and kauldron: make oracles", allow_module_level=True)

from support import oracle_gemma as oracle


@pytest.fixture(autouse=True, scope="module")
def float32_products():
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module")
def params():
    return random_params(small_value_function(gemma=FOUR_LAYERS))


@pytest.fixture(scope="module")
def google_checkpoint(params, tmp_path_factory):
    """The decoder as `gemma_orbax_table` names it, in Google's directory format."""
    folder = tmp_path_factory.mktemp("google") / "base"
    export_base(flatten(params), folder, jnp.float32)
    return folder / GEMMA_FOLDER


def errors_by_layer(params, checkpoint, tokens, valid, **gemma):
    """The relative error of every layer and of the final hidden states, where tokens are valid."""
    value_function = small_value_function(gemma=FOUR_LAYERS | gemma)
    config, llm = value_function.config.gemma, value_function.bind(params).llm
    ours = jax.jit(lambda x: gemma_layers(llm, x, jnp.asarray(valid)))(llm.embedder(jnp.asarray(tokens)))
    length = tokens.shape[1]
    visible = np.ones((length, length), bool) if config.bidirectional else np.tri(length, dtype=bool)
    theirs = oracle.layer_outputs(checkpoint, config, jnp.asarray(tokens), visible[None] & valid[:, None, :])
    assert len(ours) == len(theirs) == 5
    return [relative_error(np.asarray(a)[valid], b[valid]) for a, b in zip(ours, theirs)]


def random_tokens(length):
    return np.random.default_rng(0).integers(1, 64, (1, length))


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("length", "window"), [(17, 5), (560, 512)])
def test_every_layer(params, google_checkpoint, bidirectional, length, window):
    errors = errors_by_layer(
        params,
        google_checkpoint,
        random_tokens(length),
        np.ones((1, length), bool),
        bidirectional=bidirectional,
        sliding_window=window,
    )
    assert max(errors) <= 1e-5, errors


@pytest.mark.parametrize("bidirectional", [True, False])
def test_every_layer_beside_padding(params, google_checkpoint, bidirectional):
    valid = np.ones((1, 17), bool)
    valid[0, [4, 5, 15]] = False
    errors = errors_by_layer(params, google_checkpoint, random_tokens(17), valid, bidirectional=bidirectional)
    assert max(errors) <= 1e-5, errors


@pytest.mark.parametrize(
    "change", [{"sliding_window": 511}, {"local_rope_base": 20_000.0}, {"global_rope_base": 500_000.0}]
)
def test_the_window_and_both_rotations_show_on_560_tokens(params, google_checkpoint, change, monkeypatch):
    """What the comparison would miss, it would not prove."""
    unchanged = small_value_function(gemma={**FOUR_LAYERS, "sliding_window": 512}).config.gemma
    theirs = oracle.transformer_config(unchanged)
    monkeypatch.setattr(oracle, "transformer_config", lambda _: theirs)
    gemma = {"sliding_window": 512, **change}
    errors = errors_by_layer(params, google_checkpoint, random_tokens(560), np.ones((1, 560), bool), **gemma)
    assert errors[-1] > 1e-4, errors


def test_the_full_size_is_googles():
    assert oracle.transformer_config(VARIANTS["gemma3_270m"]) == oracle.gm.nn.Gemma3_270M.config
