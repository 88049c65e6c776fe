"""Next tokens, their loss and generation against numpy, which sees no padding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle_numpy
from support.small_models import random_observation, random_params, relative_error, small_stitched, small_value_function

from pistar_vf.batch import LanguageBatch
from pistar_vf.errors import ConfigError
from pistar_vf.models.language import generate, language_logits, language_loss
from pistar_vf.models.lora import LoraConfig
from pistar_vf.params import flatten

MODEL = small_stitched()


@pytest.fixture(scope="module")
def params():
    return random_params(MODEL)


def _observation():
    """The state is not read; the second row's last camera is masked."""
    masks = {"base": np.ones(3, bool), "wrist": np.array([True, False, True])}
    return random_observation().replace(image_masks=masks, state=None)


def _batch(observation=None, *, answers=True):
    """Rows of 4, 6 and 5 tokens; the last 2, the last 3, and none of them are to be predicted."""
    o = _observation() if observation is None else observation
    loss_mask = np.zeros((3, 6), bool)
    loss_mask[0, 2:4] = loss_mask[1, 3:6] = answers
    return LanguageBatch(
        o.images, o.image_masks, o.tokenized_prompt, o.tokenized_prompt_mask, loss_mask, np.arange(3, dtype=np.int32)
    )


@functools.cache
def _jitted_logits(value_function=MODEL):
    return jax.jit(functools.partial(language_logits, value_function))


@pytest.mark.parametrize("cameras", [("base", "wrist"), ("wrist",), ()])
def test_logits_equal_the_numpy_oracle(params, cameras):
    o = _observation()
    o = o.replace(
        images={name: o.images[name] for name in cameras}, image_masks={name: o.image_masks[name] for name in cameras}
    )
    logits = _jitted_logits()(params, o)
    assert (logits.shape, logits.dtype) == ((3, 6, 64), jnp.float32)
    float64 = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    tokens, mask = o.tokenized_prompt, o.tokenized_prompt_mask
    for row in range(3):
        expected = oracle_numpy.language_logits(o.images, o.image_masks, tokens, mask, row, float64, MODEL.config)
        assert relative_error(logits[row][mask[row]], expected) < 1e-5


def test_logits_are_float32_in_bfloat16_too(params):
    logits = _jitted_logits(small_stitched(dtype="bfloat16"))(params, _observation())
    assert logits.dtype == jnp.float32
    mask = _observation().tokenized_prompt_mask
    assert 1e-5 < relative_error(logits[mask], _jitted_logits()(params, _observation())[mask]) < 0.03


@functools.cache
def _jitted_loss(value_function=MODEL):
    return jax.jit(functools.partial(language_loss, value_function))


def test_the_loss_is_that_of_the_tokens_to_be_predicted(params):
    """Every answer's token with the logits one position before it."""
    batch = _batch()
    logits = np.asarray(_jitted_logits()(params, _observation()), np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    predicted = [(0, 2), (0, 3), (1, 3), (1, 4), (1, 5)]
    expected = -sum(log_probs[row, place - 1, batch.tokens[row, place]] for row, place in predicted)
    total, count = _jitted_loss()(params, batch)
    assert (total.dtype, int(count)) == (jnp.float32, 5)
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_without_answers_the_sum_and_the_count_are_zero(params):
    total, count = _jitted_loss()(params, _batch(answers=False))
    assert (float(total), int(count)) == (0.0, 0)


def test_what_stands_behind_the_answers_changes_nothing(params):
    batch = _batch()
    tokens = np.array(batch.tokens)
    tokens[0, 4:] = tokens[2] = 9
    other, expected = (float(_jitted_loss()(params, b)[0]) for b in (batch.replace(tokens=tokens), batch))
    assert other == pytest.approx(expected, abs=1e-6)


def test_the_projector_learns_from_the_answers(params):
    def loss(projector, batch):
        return language_loss(MODEL, {**params, "img_projection": projector}, batch)[0]

    grads = flatten(jax.jit(jax.grad(loss))(params["img_projection"], _batch()))
    assert sorted(grads) == [f"linear{i}/{leaf}" for i in (1, 2) for leaf in ("bias", "kernel")]
    assert min(float(jnp.abs(leaf).max()) for leaf in grads.values()) > 1e-5


def test_dropout_of_the_adapters_reaches_the_loss():
    value_function = small_stitched(lora=LoraConfig(rank=2, dropout=0.5))
    params = random_params(value_function)
    run = _jitted_loss(value_function)
    losses = [float(run(params, _batch(), jax.random.key(seed))[0]) for seed in (0, 1)]
    assert losses[0] != losses[1]


@functools.cache
def _jitted_generate(end_token):
    return jax.jit(functools.partial(generate, MODEL, max_new_tokens=5, end_token=end_token))


def test_generation_takes_the_most_likely_token_again_and_again(params):
    o = _observation()
    found = np.asarray(_jitted_generate(end_token=-1)(params, o))
    float64 = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    for row in range(3):
        tokens = o.tokenized_prompt[row][o.tokenized_prompt_mask[row]].tolist()
        for _ in range(5):
            text = np.array([tokens] * 3), np.ones((3, len(tokens)), bool)
            logits = oracle_numpy.language_logits(o.images, o.image_masks, *text, row, float64, MODEL.config)
            tokens.append(int(np.argmax(logits[-1])))
        assert found[row].tolist() == tokens[-5:]


def test_generation_ends_with_the_end_token(params):
    free = np.asarray(_jitted_generate(end_token=-1)(params, _observation()))
    end = int(free[0, 2])
    stopped = np.asarray(_jitted_generate(end_token=end)(params, _observation()))
    for row in range(3):
        stop = free[row].tolist().index(end) + 1 if end in free[row] else 5
        assert stopped[row].tolist() == [*free[row, :stop], *[0] * (5 - stop)]
    assert 0 in stopped[0]


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_model_with_fusion_or_a_bidirectional_decoder_is_no_language_model(bidirectional):
    value_function = small_value_function(gemma={"bidirectional": bidirectional})
    message = (
        rf"expects a model with a causal decoder and no fusion .* got bidirectional={bidirectional} and fusion='cross"
    )
    with pytest.raises(ConfigError, match=message):
        language_logits(value_function, {}, _observation())
