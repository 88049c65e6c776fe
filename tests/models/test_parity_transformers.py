"""Parity with Hugging Face transformers in float32, layer by layer and whole; skipped where it is not installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_outputs import FOUR_LAYERS, gemma_layers, siglip_layers
from small_models import SIGLIP, random_observation, random_params, relative_error, small_value_function

REASON = "the reference implementations need torch (CPU) and transformers: make oracles"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("transformers", reason=REASON)

import oracle_transformers as oracle  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def no_torch_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def params():
    return random_params(small_value_function())


@pytest.fixture(scope="module")
def deep_params():
    return random_params(small_value_function(gemma=FOUR_LAYERS))


def gemma_errors(params, gemma, x, valid):
    """The relative error of every layer and of the final hidden states, where tokens are valid."""
    value_function = small_value_function(gemma=gemma)
    llm = value_function.bind(params).llm
    ours = jax.jit(lambda x: gemma_layers(llm, x, jnp.asarray(valid)))(jnp.asarray(x))
    reference = oracle.gemma3(params["llm"], value_function.config.gemma)
    mask = torch.from_numpy(valid).long()
    theirs = oracle.layer_outputs(reference, reference.layers, inputs_embeds=oracle.tensor(x), attention_mask=mask)
    assert len(ours) == len(theirs) == value_function.config.gemma.depth + 1
    return [relative_error(np.asarray(a)[valid], np.asarray(b)[valid]) for a, b in zip(ours, theirs)]


def test_siglip_every_layer(params):
    image = np.random.default_rng(0).uniform(-1, 1, (2, 12, 12, 3)).astype(np.float32)
    reference = oracle.siglip(params["img"], SIGLIP)
    tower = small_value_function().bind(params).img
    pixels = oracle.tensor(image).permute(0, 3, 1, 2)

    ours = jax.jit(lambda x: siglip_layers(tower, x))(jnp.asarray(image))
    layers = [reference.embeddings, *reference.encoder.layers]
    theirs = oracle.layer_outputs(reference, layers, pixel_values=pixels)
    assert len(ours) == len(theirs) == 1 + SIGLIP.depth + 1
    errors = [relative_error(a, b) for a, b in zip(ours, theirs)]
    assert max(errors) < 1e-5, errors


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("length", "window"), [(17, 5), (560, 512)])
def test_gemma3_every_layer(deep_params, bidirectional, length, window):
    x = np.random.default_rng(0).standard_normal((1, length, 48)).astype(np.float32)
    gemma = {**FOUR_LAYERS, "bidirectional": bidirectional, "sliding_window": window}
    errors = gemma_errors(deep_params, gemma, x, np.ones((1, length), bool))
    assert max(errors) < 1e-5, errors


@pytest.mark.parametrize("bidirectional", [True, False])
def test_gemma3_every_layer_beside_padding(deep_params, bidirectional):
    valid = np.ones((1, 17), bool)
    valid[0, [4, 5, 15]] = False
    x = np.random.default_rng(0).standard_normal((1, 17, 48)).astype(np.float32)
    errors = gemma_errors(deep_params, {**FOUR_LAYERS, "bidirectional": bidirectional}, x, valid)
    assert max(errors) < 1e-5, errors


def test_gemma3_embeds_tokens(params):
    value_function = small_value_function()
    tokens = np.random.default_rng(0).integers(0, 64, (2, 9))
    ours = value_function.bind(params).llm.embedder(jnp.asarray(tokens))
    theirs = oracle.gemma3(params["llm"], value_function.config.gemma).embed_tokens(torch.from_numpy(tokens))
    assert relative_error(ours, theirs) < 1e-5


def test_value_model_logits(params):
    value_function, observation = small_value_function(), random_observation()
    expected = oracle.value_logits(observation, params, value_function.config)
    assert relative_error(jax.jit(value_function.apply)(params, observation), expected) < 1e-5
