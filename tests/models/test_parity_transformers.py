"""Parity with Hugging Face transformers in float32, layer by layer and whole; skipped where it is not installed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.layer_outputs import FOUR_LAYERS, gemma_layers, siglip_layers
from support.small_models import (
    SIGLIP,
    random_observation,
    random_params,
    relative_error,
    small_stitched,
    small_value_function,
)

from pistar_vf.batch import Observation
from pistar_vf.models.language import generate, language_logits
from pistar_vf.models.lora import LoraConfig

REASON = "the reference implementations need torch (CPU) and transformers: make oracles"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("transformers", reason=REASON)

from support import oracle_transformers as oracle  # noqa: E402


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


def test_siglip_of_384_pixels_as_the_published_one(params):
    """14 pixels in patches of 4 leave two over, as 384 in patches of 14 leave six."""
    config = dataclasses.replace(SIGLIP, image_size=14)
    image = np.random.default_rng(0).uniform(-1, 1, (2, 14, 14, 3)).astype(np.float32)
    tower = small_value_function(siglip={"image_size": 14}).bind(params).img
    with_rest = oracle.siglip(params["img"], config)(oracle.tensor(image).permute(0, 3, 1, 2)).last_hidden_state
    assert relative_error(jax.jit(tower)(image), with_rest) < 1e-5


STITCHED = small_stitched(gemma=FOUR_LAYERS)


@pytest.fixture(scope="module")
def stitched_params():
    return random_params(STITCHED)


def with_masked_cameras():
    """Both cameras, none, the first and the last; the last one leaves a gap in front of the state."""
    masks = {"base": np.array([True, False, True, False]), "wrist": np.array([True, False, False, True])}
    return random_observation(batch=4).replace(image_masks=masks)


def test_stitched_value_logits_are_those_of_the_same_input_without_padding(stitched_params):
    observation = with_masked_cameras()
    ours = jax.jit(STITCHED.apply)(stitched_params, observation)
    for row in range(4):
        expected = oracle.stitched_value_logits(observation, row, stitched_params, STITCHED.config)
        assert relative_error(ours[row], expected) < 1e-5


@pytest.mark.parametrize("with_images", [True, False])
def test_language_logits_behind_images(stitched_params, with_images):
    """18 image tokens and a window of 5, rows of 4, 6, 5 and 4 tokens."""
    o = with_masked_cameras()
    o = o if with_images else o.replace(images={}, image_masks={})
    ours = jax.jit(functools.partial(language_logits, STITCHED))(stitched_params, o)
    model = oracle.gemma3_for_causal_lm(stitched_params["llm"], STITCHED.config.gemma)
    for row in range(4):
        images, text = oracle.embed_valid(
            o.images, o.image_masks, o.tokenized_prompt, o.tokenized_prompt_mask, row, stitched_params, STITCHED.config
        )
        expected = model(inputs_embeds=torch.cat([images, text], dim=1)).logits[0, images.shape[1] :]
        assert relative_error(ours[row][o.tokenized_prompt_mask[row]], expected) < 1e-5


def test_language_logits_beyond_the_full_window(stitched_params):
    value_function = small_stitched(gemma={**FOUR_LAYERS, "sliding_window": 512})
    tokens = np.random.default_rng(0).integers(1, 64, (1, 560))
    text = Observation({}, {}, jnp.asarray(tokens), jnp.ones((1, 560), bool))
    ours = jax.jit(functools.partial(language_logits, value_function))(stitched_params, text)
    expected = oracle.gemma3_for_causal_lm(stitched_params["llm"], value_function.config.gemma)(
        torch.from_numpy(tokens)
    )
    assert relative_error(ours, expected.logits) < 1e-5


def test_greedy_generation(stitched_params):
    o = with_masked_cameras()
    run = jax.jit(functools.partial(generate, STITCHED, max_new_tokens=7, end_token=-1))
    ours = np.asarray(run(stitched_params, o))
    model = oracle.gemma3_for_causal_lm(stitched_params["llm"], STITCHED.config.gemma)
    for row in range(4):
        parts = oracle.embed_valid(
            o.images, o.image_masks, o.tokenized_prompt, o.tokenized_prompt_mask, row, stitched_params, STITCHED.config
        )
        embedded = torch.cat(parts, dim=1)
        expected = model.generate(
            inputs_embeds=embedded, attention_mask=torch.ones(embedded.shape[:2]), max_new_tokens=7, do_sample=False,
            eos_token_id=None,
        )  # fmt: skip
        assert ours[row].tolist() == expected[0].tolist()
    assert len(np.unique(ours)) > 4


def test_adapters_are_those_of_layers_that_add_them_to_their_outputs(stitched_params):
    value_function = small_stitched(gemma=FOUR_LAYERS, lora=LoraConfig(rank=3, alpha=6.0))
    params = random_params(value_function)
    text = Observation({}, {}, jnp.arange(1, 13)[None], jnp.ones((1, 12), bool))
    ours = jax.jit(functools.partial(language_logits, value_function))(params, text)
    model = oracle.gemma3_for_causal_lm(params["llm"], STITCHED.config.gemma)
    tokens = torch.arange(1, 13)[None]
    without = model(tokens).logits
    oracle.add_lora(model.model, params["lora"]["llm"], scale=2.0)
    assert relative_error(ours, model(tokens).logits) < 1e-5
    assert relative_error(without, ours) > 1e-2
