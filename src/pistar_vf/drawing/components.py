"""What a value model consists of: every part with its sizes and its numbers of parameters, none of them typed."""

import dataclasses
from collections.abc import Sequence

from pistar_vf.choices import FreezeMode
from pistar_vf.models.value_config import ValueModelConfig
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, num_parameters
from pistar_vf.training.optimizer import is_trainable
from pistar_vf.typing import Params

VISION, PROJECTOR, EMBEDDING = "vision tower", "projector", "token embedding"
STATE, CROSS_ATTENTION, DECODER = "state projection", "cross-attention", "decoder"
VALUE_HEAD, LANGUAGE_HEAD, ADAPTERS = "value head", "language head (tied)", "adapters"

_LEAVES = {
    VISION: ("img/",),
    PROJECTOR: ("img_projection/",),
    EMBEDDING: ("llm/embedder/",),
    CROSS_ATTENTION: ("cross_attention/", "cross_attn_norm/"),
    STATE: ("state_projection/",),
    DECODER: ("llm/layer_", "llm/final_norm/"),
    ADAPTERS: ("lora/",),
    VALUE_HEAD: ("value_head/",),
    LANGUAGE_HEAD: (),
}
"""Component to what the names of its leaves begin with, in the order in which data passes."""

_READOUT = {"mean": "mean of the valid tokens", "last_token": "last token of the prompt"}


@dataclasses.dataclass(frozen=True)
class Component:
    """One part of a model.

    Attributes:
        name: such as "projector".
        details: its sizes in words, a line each.
        num_parameters: of its leaves.
        num_trainable: those of them that training changes.
    """

    name: str
    details: tuple[str, ...]
    num_parameters: int
    num_trainable: int


def list_components(config: ValueModelConfig, freeze_mode: FreezeMode) -> list[Component]:
    """The parts of a model; together they have all of its parameters. Nothing is allocated.

    Args:
        config: of the model.
        freeze_mode: decides what is trained.

    Raises:
        ConfigError: the adapters' targets fit no leaf.
    """
    shapes = flatten(ValueFunction(config).shapes())
    details = _details(config, shapes)
    components = []
    for name, prefixes in _LEAVES.items():
        own = {path: leaf for path, leaf in shapes.items() if path.startswith(prefixes)}
        trained = {path: leaf for path, leaf in own.items() if is_trainable(path, freeze_mode)}
        if name in details:
            components.append(Component(name, details[name], num_parameters(own), num_parameters(trained)))
    return components


def format_components(components: Sequence[Component]) -> str:
    """A table of the components, and their sum."""
    rows = [(c.name, f"{c.num_parameters:,}", f"{c.num_trainable:,}", ", ".join(c.details)) for c in components]
    total, trainable = sum(c.num_parameters for c in components), sum(c.num_trainable for c in components)
    rows = [("component", "parameters", "trainable", "sizes"), *rows, ("total", f"{total:,}", f"{trainable:,}", "")]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {text}".rstrip() for a, b, c, text in rows]
    return "\n".join(lines)


def _details(config: ValueModelConfig, shapes: Params) -> dict[str, tuple[str, ...]]:
    """The sizes of the components that the model has."""
    siglip, gemma = config.siglip, config.gemma
    images = f"{len(config.cameras)} × {config.num_image_tokens}"
    width = f"{gemma.width} wide"
    side = f"{siglip.image_size} × {siglip.image_size}"
    details = {
        VISION: (
            f"{len(config.cameras)} images of {side}",
            f"{images} tokens, {siglip.width} wide",
            f"{siglip.depth} layers",
        ),
        PROJECTOR: (f"{images} tokens", _layers(shapes, PROJECTOR)),
        EMBEDDING: (f"{config.max_token_len} tokens, {width}", f"table of {gemma.vocab_size}"),
        DECODER: (
            f"[{_sequence(config, images)}] tokens, {width}",
            f"{gemma.depth} layers, {'bidirectional' if gemma.bidirectional else 'causal'}",
        ),
        VALUE_HEAD: (_READOUT[config.readout], f"{_layers(shapes, VALUE_HEAD)} atoms"),
    }
    if config.fusion == "cross_attention":
        details[CROSS_ATTENTION] = ("text attends to image tokens", f"{config.cross_attention_heads} heads")
    if config.has_state:
        details[STATE] = ("1 token", _layers(shapes, STATE))
    if config.has_language:
        details[LANGUAGE_HEAD] = (f"{gemma.width} → {gemma.vocab_size}", "the token embedding, transposed")
    if config.lora is not None:
        adapted = sum(path.startswith(_LEAVES[ADAPTERS]) and path.endswith("/a") for path in shapes)
        details[ADAPTERS] = (f"rank {config.lora.rank}", f"on {adapted} leaves of the decoder")
    return details


def _sequence(config: ValueModelConfig, images: str) -> str:
    """What stands in the decoder's sequence, in its order; see `ValueModelConfig.gemma`."""
    parts = [f"{images} image", f"{config.max_token_len} text"]
    if config.has_state:
        parts.insert(2 if config.gemma.bidirectional else 1, "1 state")
    return ", ".join(parts)


def _layers(shapes: Params, name: str) -> str:
    """The widths between a component's linear layers: "1152 → 1152 → 640"."""
    kernels = [
        leaf.shape for path, leaf in shapes.items() if path.startswith(_LEAVES[name]) and path.endswith("kernel")
    ]
    return " → ".join(str(width) for width in (kernels[0][0], *(shape[1] for shape in kernels)))
