"""From the model's settings to its towers, the side of its images and its tokenizer, for either recipe."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from pistar_vf.checkpoints.layout import TOKENIZER_FILE
from pistar_vf.errors import ConfigError
from pistar_vf.messages import TOKENIZER
from pistar_vf.models.settings import ModelSettings
from pistar_vf.models.sizes import GEMMA_VARIANTS, SIGLIP_VARIANTS, lookup
from pistar_vf.tokenizer import PromptTokenizer, resolve_tokenizer, train_prompt_tokenizer
from pistar_vf.training.settings import DeviceSettings

_log = logging.getLogger(__name__)
_TINY = "gemma3_tiny"


def towers(model: ModelSettings, devices: DeviceSettings, tokenizer: PromptTokenizer) -> dict[str, Any]:
    """Fields of the model's configuration: both towers, the compute dtype and rematerialisation."""
    tower = lookup(SIGLIP_VARIANTS, model.siglip_variant, "--siglip_variant")
    language = lookup(GEMMA_VARIANTS, model.gemma_variant, "--gemma_variant")
    automatic = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return {
        "siglip": dataclasses.replace(tower, image_size=model_image_size(model)),
        "gemma": dataclasses.replace(language, vocab_size=max(language.vocab_size, tokenizer.vocab_size)),
        "dtype": automatic if devices.dtype == "auto" else devices.dtype,
        "remat": devices.remat,
    }


def model_image_size(model: ModelSettings) -> int:
    """Side of the model's images, pixels."""
    return model.image_size or lookup(SIGLIP_VARIANTS, model.siglip_variant, "--siglip_variant").image_size


def create_tokenizer(
    model: ModelSettings,
    max_token_len: int,
    prompts: Sequence[str],
    texts: Callable[[], Sequence[str]],
    checkpoint: Path | None = None,
) -> PromptTokenizer:
    """The tokenizer that the settings name; without a name the checkpoint's own, or one trained for the tiny model.

    Args:
        model: the settings.
        max_token_len: longest prompt, tokens; that of the tiny presets suits the demo, and a longer one must not
            stop a first try, so there it is the least.
        prompts: those that will be read.
        texts: gives what to train one on.
        checkpoint: the one that a run resumes; None for a fresh start.

    Raises:
        TokenizerError: there is none.
        ConfigError: it has more tokens than the language model embeds.
    """
    own = None if checkpoint is None else checkpoint / TOKENIZER_FILE
    if model.tokenizer_path is None and own is not None and own.is_file():
        tokenizer = PromptTokenizer.load(own, max_token_len=max_token_len)
        return tokenizer.fitting(prompts, max_token_len) if model.gemma_variant == _TINY else tokenizer
    if model.tokenizer_path is None and model.gemma_variant == _TINY:
        return train_prompt_tokenizer(texts()).fitting(prompts, max_token_len)
    path = resolve_tokenizer(model.tokenizer_path)
    _log.info(TOKENIZER.format(path=path))
    tokenizer = PromptTokenizer.load(path, max_token_len=max_token_len)
    gemma = lookup(GEMMA_VARIANTS, model.gemma_variant, "--gemma_variant")
    if tokenizer.vocab_size > gemma.vocab_size:
        raise ConfigError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, but {model.gemma_variant} embeds only "
            f"{gemma.vocab_size}; pass the tokenizer that belongs to the model"
        )
    return tokenizer.fitting(prompts, max_token_len) if model.gemma_variant == _TINY else tokenizer
