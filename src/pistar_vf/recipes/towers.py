"""From the model's settings to its towers, the side of its images and its tokenizer, for either recipe."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax

from pistar_vf.errors import ConfigError
from pistar_vf.messages import TOKENIZER
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.settings import ModelSettings
from pistar_vf.tokenizer import PromptTokenizer, resolve_tokenizer, train_prompt_tokenizer
from pistar_vf.training.settings import DeviceSettings

_log = logging.getLogger(__name__)
V = TypeVar("V")
_TINY = "gemma3_tiny"


def towers(model: ModelSettings, devices: DeviceSettings, tokenizer: PromptTokenizer) -> dict[str, Any]:
    """Fields of the model's configuration: both towers, the compute dtype and rematerialisation."""
    tower = lookup(siglip.VARIANTS, model.siglip_variant, "--siglip_variant")
    language = lookup(gemma3.VARIANTS, model.gemma_variant, "--gemma_variant")
    automatic = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return {
        "siglip": dataclasses.replace(tower, image_size=model_image_size(model)),
        "gemma": dataclasses.replace(language, vocab_size=max(language.vocab_size, tokenizer.vocab_size)),
        "dtype": automatic if devices.dtype == "auto" else devices.dtype,
        "remat": devices.remat,
    }


def model_image_size(model: ModelSettings) -> int:
    """Side of the model's images, pixels."""
    return model.image_size or lookup(siglip.VARIANTS, model.siglip_variant, "--siglip_variant").image_size


def create_tokenizer(
    model: ModelSettings, max_token_len: int, prompts: Sequence[str], texts: Callable[[], Sequence[str]]
) -> PromptTokenizer:
    """The tokenizer that the settings name; the tiny language model trains one of its own without a name.

    Args:
        model: the settings.
        max_token_len: longest prompt, tokens; that of the tiny presets suits the demo, and a longer one must not
            stop a first try, so there it is the least.
        prompts: those that will be read.
        texts: gives what to train one on.

    Raises:
        TokenizerError: there is none.
        ConfigError: it has more tokens than the language model embeds.
    """
    if model.tokenizer_path is None and model.gemma_variant == _TINY:
        return train_prompt_tokenizer(texts()).fitting(prompts, max_token_len)
    path = resolve_tokenizer(model.tokenizer_path)
    _log.info(TOKENIZER.format(path=path))
    tokenizer = PromptTokenizer.load(path, max_token_len=max_token_len)
    gemma = lookup(gemma3.VARIANTS, model.gemma_variant, "--gemma_variant")
    if tokenizer.vocab_size > gemma.vocab_size:
        raise ConfigError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, but {model.gemma_variant} embeds only "
            f"{gemma.vocab_size}; pass the tokenizer that belongs to the model"
        )
    return tokenizer.fitting(prompts, max_token_len) if model.gemma_variant == _TINY else tokenizer


def lookup(variants: Mapping[str, V], name: str, flag: str) -> V:
    """The variant called `name`.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    if name not in variants:
        raise ConfigError(f"{flag}: expected one of {', '.join(variants)}, got {name!r}")
    return variants[name]
