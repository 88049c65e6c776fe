"""Parity with Hugging Face transformers in float32, module by module and whole; skipped where it is not installed."""

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import SIGLIP, random_observation, random_params, relative_error, small_value_function

torch = pytest.importorskip("torch", reason="the reference implementations need torch (CPU) and transformers")
pytest.importorskip("transformers", reason="the reference implementations need torch (CPU) and transformers")

import oracle_transformers as oracle  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def no_torch_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def params():
    return random_params(small_value_function())


def test_siglip_patches_first_block_and_output(params):
    image = np.random.default_rng(0).uniform(-1, 1, (2, 12, 12, 3)).astype(np.float32)
    reference = oracle.siglip(params["img"], SIGLIP)
    tower = small_value_function().bind(params).img
    pixels = oracle.tensor(image).permute(0, 3, 1, 2)

    tokens = tower.embedding(jnp.asarray(image)) + tower.pos_embedding[...]
    expected_tokens = reference.embeddings(pixels)
    assert relative_error(tokens, expected_tokens) < 1e-5

    graphdef, stacked = nnx.split(tower.Transformer.encoderblock)
    first_block = nnx.merge(graphdef, jax.tree.map(lambda leaf: leaf[0], stacked))
    expected = reference.encoder.layers[0](expected_tokens, attention_mask=None)
    assert relative_error(first_block(tokens), expected) < 1e-5

    assert relative_error(jax.jit(tower)(jnp.asarray(image)), reference(pixels).last_hidden_state) < 1e-5


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("length", "window"), [(17, 5), (560, 512)])
def test_gemma3_hidden_states(params, bidirectional, length, window):
    value_function = small_value_function(gemma={"bidirectional": bidirectional, "sliding_window": window})
    tokens = np.random.default_rng(0).integers(1, 64, (1, length))
    llm = value_function.bind(params).llm
    hidden = jax.jit(lambda x: llm(x, jnp.ones((1, length), bool)))(llm.embedder(jnp.asarray(tokens)))
    reference = oracle.gemma3(params["llm"], value_function.config.gemma)
    expected = reference(input_ids=torch.from_numpy(tokens)).last_hidden_state
    assert relative_error(hidden, expected) < 1e-5


@pytest.mark.parametrize("bidirectional", [True, False])
def test_gemma3_padding(params, bidirectional):
    value_function = small_value_function(gemma={"bidirectional": bidirectional})
    valid = np.ones((1, 17), bool)
    valid[0, [4, 5, 15]] = False
    x = np.random.default_rng(0).standard_normal((1, 17, 48)).astype(np.float32)
    hidden = jax.jit(value_function.bind(params).llm)(jnp.asarray(x), jnp.asarray(valid))
    reference = oracle.gemma3(params["llm"], value_function.config.gemma)
    mask = torch.from_numpy(valid).long()
    expected = reference(inputs_embeds=torch.from_numpy(x), attention_mask=mask).last_hidden_state
    assert relative_error(np.asarray(hidden)[valid], np.asarray(expected)[valid]) < 1e-5


def test_value_model_logits(params):
    value_function, observation = small_value_function(), random_observation()
    expected = oracle.value_logits(observation, params, value_function.config)
    assert relative_error(jax.jit(value_function.apply)(params, observation), expected) < 1e-5
