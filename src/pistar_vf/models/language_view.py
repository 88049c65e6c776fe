"""The language model inside any value model, so that every architecture can co-train on questions and answers."""

import dataclasses

from pistar_vf.models.value_model import ValueFunction
from pistar_vf.typing import Params

_FUSION = ("cross_attention", "cross_attn_norm")


def language_view(value_function: ValueFunction) -> ValueFunction:
    """The same towers, projector and decoder, read as a language model: causal, and without fusion before it.

    A stitched model is one already. A `pistar` model reads values with a bidirectional decoder; on questions the same
    weights run with a causal mask, as they did when they were pretrained.
    """
    config = value_function.config
    causal = dataclasses.replace(config.gemma, bidirectional=False)
    return ValueFunction(dataclasses.replace(config, gemma=causal, fusion="none"))


def language_params(params: Params) -> Params:
    """The parameters that the view has, of the model's nested dict."""
    return {name: part for name, part in params.items() if name not in _FUSION}
