"""The language head of a causal value model: what comes after a picture and a text.

The image tokens stand in front of the text as they leave the projector, without special tokens around them and without
the state: [image tokens, text]. Hidden states become logits with the embedding table itself, which is not trained here
either. Text alone has no image tokens.

References:
    Gemma Team, "Gemma 3 Technical Report", arXiv 2503.19786, section 2 (tied embeddings, no cap on the logits).
"""

from typing import Any

import jax
import jax.numpy as jnp

from pistar_vf.batch import LanguageBatch, Observation, check_observation
from pistar_vf.errors import ConfigError
from pistar_vf.models.token_loss import sum_token_losses, token_logits
from pistar_vf.models.value_head import last_hidden
from pistar_vf.models.value_model import ValueFunction, ValueModel
from pistar_vf.typing import Bool, Float, Int, Params, PRNGKeyArray


def language_logits(
    value_function: ValueFunction, params: Params, observation: Observation
) -> Float[jax.Array, "b l vocab"]:
    """Logits of the token behind each token of the text, float32.

    Args:
        value_function: a causal one.
        params: its parameters, nested.
        observation: any cameras or none, and the text as `tokenized_prompt`; the state is not read.

    Raises:
        ConfigError: the model is no language model, or images and masks do not fit.
    """
    model = _bind(value_function, params)
    hidden = _hidden_of_text(model, *_embed_images(model, observation), observation)
    return token_logits(hidden, _table(model))


def language_loss(
    value_function: ValueFunction, params: Params, batch: LanguageBatch, dropout_key: PRNGKeyArray | None = None
) -> tuple[Float[jax.Array, ""], Int[jax.Array, ""]]:
    """Cross-entropy of the answers, without ever holding the logits of a whole batch.

    Args:
        value_function: a causal one.
        params: its parameters, nested.
        batch: pictures with questions and answers.
        dropout_key: of the adapters' dropout in training; None for none.

    Returns:
        (sum over the tokens in `loss_mask`, in nats; their number).

    Raises:
        ConfigError: the model is no language model, or images and masks do not fit.
    """
    model = _bind(value_function, params, dropout_key)
    observation = Observation(batch.images, batch.image_masks, batch.tokens, batch.token_mask)
    hidden = _hidden_of_text(model, *_embed_images(model, observation), observation)
    # What stands at position i - 1 predicts token i.
    targets, counted = jnp.asarray(batch.tokens)[:, 1:], jnp.asarray(batch.loss_mask)[:, 1:]
    return sum_token_losses(hidden[:, :-1], _table(model), targets, counted), jnp.sum(counted)


def generate(
    value_function: ValueFunction, params: Params, observation: Observation, *, max_new_tokens: int, end_token: int
) -> Int[jax.Array, "b new"]:
    """Continues every text with the most likely token, again and again; jit it with the keywords static.

    Each new token runs the decoder over the whole sequence once more: right for evaluating short answers.

    Args:
        value_function: a causal one.
        params: its parameters, nested.
        observation: any cameras or none, and the text as `tokenized_prompt`, padded on the right.
        max_new_tokens: length of the result.
        end_token: id of the token that ends an answer.

    Returns:
        The new tokens, `end_token` included; 0 behind it.

    Raises:
        ConfigError: the model is no language model, or images and masks do not fit.
    """
    model = _bind(value_function, params)
    prefix = _embed_images(model, observation)
    start = jnp.sum(jnp.asarray(observation.tokenized_prompt_mask), axis=1)[:, None]
    space = ((0, 0), (0, max_new_tokens))
    tokens, mask = jnp.pad(observation.tokenized_prompt, space), jnp.pad(observation.tokenized_prompt_mask, space)
    place = jnp.arange(tokens.shape[1])[None]

    def append(count: Any, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        tokens, mask, ended = carry
        text = observation.replace(tokenized_prompt=tokens, tokenized_prompt_mask=mask)
        hidden = last_hidden(_hidden_of_text(model, *prefix, text), mask)
        token = jnp.argmax(token_logits(hidden, _table(model)), axis=-1)[:, None].astype(tokens.dtype)
        here = (place == start + count) & ~ended
        return jnp.where(here, token, tokens), mask | here, ended | (token == end_token)

    ended = jnp.zeros_like(start, dtype=bool)
    tokens, _, _ = jax.lax.fori_loop(0, max_new_tokens, append, (tokens, mask, ended))
    return jnp.take_along_axis(tokens, start + jnp.arange(max_new_tokens)[None], axis=1)


def _bind(value_function: ValueFunction, params: Params, dropout_key: PRNGKeyArray | None = None) -> ValueModel:
    """The module with the given parameters, if it can predict tokens.

    Raises:
        ConfigError: it cannot.
    """
    if not value_function.config.has_language:
        raise ConfigError(
            "predicting tokens expects a model with a causal decoder and no fusion before it (the stitched "
            f"architecture), got bidirectional={value_function.config.gemma.bidirectional} and "
            f"fusion={value_function.config.fusion!r}"
        )
    return value_function.bind(params, dropout_key)


def _embed_images(
    model: ValueModel, observation: Observation
) -> tuple[Float[jax.Array, "b n d"], Bool[jax.Array, "b n"]]:
    """Tokens of the images that there are, and their validity."""
    check_observation(observation, tuple(observation.images), model.config.siglip.image_size, None)
    if observation.images:
        return model.embed_images(observation)
    batch = observation.tokenized_prompt.shape[0]
    return jnp.zeros((batch, 0, model.config.gemma.width), model.config.dtype), jnp.zeros((batch, 0), bool)


def _hidden_of_text(
    model: ValueModel, image_tokens: Float[jax.Array, "b n d"], image_valid: Bool[jax.Array, "b n"], text: Observation
) -> Float[jax.Array, "b l d"]:
    """Hidden states at the text's positions, in the compute dtype."""
    embedded = model.embed_text(text.tokenized_prompt).astype(image_tokens.dtype)
    valid = jnp.concatenate([image_valid, text.tokenized_prompt_mask], axis=1)
    hidden = model.decode(jnp.concatenate([image_tokens, embedded], axis=1), valid)
    return hidden[:, image_tokens.shape[1] :]


def _table(model: ValueModel) -> Float[jax.Array, "vocab d"]:
    return model.llm.embedder.input_embedding[...]
