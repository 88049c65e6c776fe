"""What decides a value model's parameter tree and forward pass, and the architectures by name."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, get_args

from pistar_vf.categorical import Support
from pistar_vf.choices import StateEncoding
from pistar_vf.errors import ConfigError
from pistar_vf.models.gemma3 import Gemma3Config
from pistar_vf.models.lora import LoraConfig
from pistar_vf.models.siglip import SiglipConfig
from pistar_vf.models.sizes import pooled_side

Projector = Literal["linear", "mlp"]
Fusion = Literal["cross_attention", "none"]
Readout = Literal["mean", "last_token"]
Head = Literal["mlp", "linear"]
Numerics = Literal["own", "upstream"]

_CHOICES = {
    "state_encoding": get_args(StateEncoding),
    "projector": get_args(Projector),
    "fusion": get_args(Fusion),
    "readout": get_args(Readout),
    "head": get_args(Head),
    "numerics": get_args(Numerics),
}


@dataclasses.dataclass(frozen=True)
class ValueModelConfig:
    """Everything that decides the parameter tree and the forward pass; the defaults are the `pistar` architecture.

    Attributes:
        siglip: the vision tower.
        gemma: the decoder. A bidirectional one reads [images, text, state]; a causal one reads [images, state, text],
            so that the text sees the state, and numbers its positions without the padding between them.
        support: of the values.
        cameras: model-side camera names; the sequence holds them in sorted order.
        state_dim: components of the robot state; ignored with `state_encoding="none"`.
        state_encoding: "token" feeds the state as one extra token, "none" leaves it out (upstream's numerics).
        image_pool: side of the squares of image tokens that are averaged to one behind the tower; 1 keeps all.
        projector: from the tower's width to the decoder's: "linear", or "mlp" with a hidden layer of the tower's width.
        fusion: "cross_attention" lets the text attend to the image tokens before the decoder; "none" does not.
        cross_attention_heads: of that fusion.
        readout: what the head sees of the hidden states: the "mean" over the valid ones, or the "last_token" that is
            valid.
        head: "mlp" (LayerNorm, Linear, GELU, Linear) or "linear".
        lora: adapters on the decoder, or None.
        max_token_len: tokens of a prompt.
        dtype: compute dtype, "float32" or "bfloat16"; parameters, logits and loss are float32 either way.
        remat: recompute activations in the backward pass instead of keeping them.
        numerics: "upstream" computes as pistar-world does, for values of its checkpoints: the vision tower in bfloat16
            with a bfloat16 softmax, whatever `dtype` says; and the text attends to masked cameras, too.
    """

    siglip: SiglipConfig
    gemma: Gemma3Config
    support: Support = dataclasses.field(default_factory=Support)
    cameras: tuple[str, ...] = ("base_0_rgb",)
    state_dim: int = 0
    state_encoding: StateEncoding = "token"
    image_pool: int = 1
    projector: Projector = "linear"
    fusion: Fusion = "cross_attention"
    cross_attention_heads: int = 8
    readout: Readout = "mean"
    head: Head = "mlp"
    lora: LoraConfig | None = None
    max_token_len: int = 48
    dtype: str = "float32"
    remat: bool = False
    numerics: Numerics = "own"

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise ConfigError(f"{field}: expected one of {choices}, got {getattr(self, field)!r}")
        pooled_side(self.siglip, self.image_pool)  # refuses what does not divide
        if not self.cameras:
            raise ConfigError("a value model needs at least one camera, got none")
        if self.has_state and self.state_dim < 1:
            raise ConfigError(
                f"state_encoding='token' expects state_dim >= 1, got {self.state_dim}; "
                "a dataset without state needs state_encoding='none'"
            )

    @property
    def num_image_tokens(self) -> int:
        """Tokens of one camera's image in the decoder's sequence."""
        return pooled_side(self.siglip, self.image_pool) ** 2

    @property
    def has_state(self) -> bool:
        """Whether the state is an input."""
        return self.state_encoding == "token"

    @property
    def has_language(self) -> bool:
        """Whether the decoder is still a language model, whose hidden states predict the next token."""
        return not self.gemma.bidirectional and self.fusion == "none"


def stitched_config(siglip: SiglipConfig, gemma: Gemma3Config, **fields: Any) -> ValueModelConfig:
    """A vision tower stitched to a causal language model that keeps its language head.

    Full size is `siglip.VARIANTS["So400m/14-384"]` with `gemma3.VARIANTS["gemma3_270m"]`, 683 M parameters.

    Args:
        siglip: the vision tower.
        gemma: the language model; it becomes causal.
        fields: other fields of `ValueModelConfig`, such as `lora`.
    """
    return ValueModelConfig(
        siglip=siglip,
        gemma=dataclasses.replace(gemma, bidirectional=False),
        projector="mlp",
        fusion="none",
        readout="last_token",
        head="linear",
        **fields,
    )


ARCHITECTURES: dict[str, Callable[..., ValueModelConfig]] = {"pistar": ValueModelConfig, "stitched": stitched_config}
"""Name to a function of `siglip`, `gemma` and other fields of `ValueModelConfig`."""
