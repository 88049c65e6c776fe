"""Settings of the model: its parts, and how pictures and words reach it."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator

from pistar_vf.choices import Architecture, ImageFit, StateEncoding
from pistar_vf.errors import ConfigError
from pistar_vf.models.sizes import GEMMA_VARIANTS, SIGLIP_VARIANTS, lookup, pooled_side

PROJECTIONS = ("attn/q_einsum/w", "attn/kv_einsum/w", "attn/attn_vec_einsum/w", "mlp/gating_einsum", "mlp/linear")
"""Ends of the names of the weights in a layer of the decoder that can get an adapter."""
LORA_TARGETS = r"llm/layer_\d+/(attn|mlp)/.*"
"""Every projection of the decoder."""


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Which weights are adapted, and how.

    Attributes:
        rank: of each adapter.
        alpha: the sum A B is scaled by alpha / rank.
        dropout: probability of hiding an input of an adapter in training. The adapters act on weights, so the inputs
            are drawn once per step for all examples and tokens, not for each token as where they act on activations.
        targets: regular expression that must match the whole name of a projection, see `models.lora`.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: str = LORA_TARGETS

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"lora rank: expected 1 or more, got {self.rank}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"lora dropout: expected a probability in [0, 1), got {self.dropout}")
        try:
            re.compile(self.targets)
        except re.error as error:
            raise ConfigError(f"lora targets: expected a regular expression, got {self.targets!r}: {error}") from error


def adapted_leaves(names: Iterable[str], config: LoraConfig) -> list[str]:
    """The leaves that get an adapter, sorted.

    Args:
        names: of all leaves of a model.
        config: its `targets` choose among the decoder's projections.

    Raises:
        ConfigError: no projection fits.
    """
    projections = [name for name in sorted(names) if name.startswith("llm/layer_") and name.endswith(PROJECTIONS)]
    chosen = [name for name in projections if re.fullmatch(config.targets, name)]
    if not chosen:
        first_layer = ", ".join(name for name in projections if name.startswith("llm/layer_0/"))
        raise ConfigError(
            f"lora targets {config.targets!r}: expected a pattern of whole names such as {first_layer}, but none fits"
        )
    return chosen


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The towers, and how pictures and words reach them."""

    siglip_variant: str = "So400m/14"
    """Vision tower: So400m/14, So400m/14-384 or tiny/14."""
    gemma_variant: str = "gemma3_270m"
    """Language model: gemma3_270m or gemma3_tiny."""
    tokenizer_path: str | None = None
    """Gemma 3's tokenizer.model. Default: $OPENPI_VALUE_TOKENIZER_PATH, $GEMMA_TOKENIZER_PATH or the bundle's;
    gemma3_tiny trains one on the texts of its data."""
    image_size: int | None = None
    """Side of the model's square images, pixels; what is left behind the last whole patch of 14 is not read. Default:
    the vision tower's own."""
    image_fit: ImageFit = "pad"
    """How pictures become square: black borders (as openpi) or stretched."""

    def checks(self) -> Iterator[Callable[[], object]]:
        """What can be wrong with these settings; each raises `ConfigError`."""
        yield lambda: lookup(SIGLIP_VARIANTS, self.siglip_variant, "--siglip_variant")
        yield lambda: lookup(GEMMA_VARIANTS, self.gemma_variant, "--gemma_variant")


@dataclasses.dataclass(frozen=True)
class ValueModelSettings(ModelSettings):
    """The value model: its architecture, its towers, and how pictures, words and the state reach them."""

    architecture: Architecture = "pistar"
    """pistar: cross-attention and a bidirectional decoder. stitched: an MLP in front of a causal language model."""
    state_encoding: StateEncoding = "token"
    """Feed the state as one token, or not at all (upstream's numerics)."""
    image_pool: int = 1
    """Average squares of so many × so many image tokens to one behind the vision tower; 1 keeps all. With 2, an image
    of 224 pixels is 64 tokens instead of 256, and everything behind the tower takes about a third of the time."""
    max_token_len: int = 48
    """Longest prompt, tokens; a longer one is an error."""
    lora_rank: int = 0
    """Rank of low-rank adapters on the language model's projections; 0 for no adapters. Every freeze mode but
    all_but_projector and all_but_head trains them."""
    lora_alpha: float = 16.0
    """What the adapters' sum is scaled by, after division by their rank."""
    lora_dropout: float = 0.0
    """Share of the adapters' inputs hidden in every step."""
    lora_targets: str = LORA_TARGETS
    """Which projections get an adapter: a regular expression of whole names of parameters."""

    def checks(self) -> Iterator[Callable[[], object]]:
        """What can be wrong with these settings; each raises `ConfigError`."""
        yield from super().checks()
        yield self._check_adapters
        yield self._check_pool

    def _check_pool(self) -> None:
        if self.siglip_variant in SIGLIP_VARIANTS:
            tower = SIGLIP_VARIANTS[self.siglip_variant]
            pooled_side(dataclasses.replace(tower, image_size=self.image_size or tower.image_size), self.image_pool)

    def _check_adapters(self) -> None:
        if self.lora is not None and self.gemma_variant in GEMMA_VARIANTS:
            layers = range(GEMMA_VARIANTS[self.gemma_variant].depth)
            adapted_leaves([f"llm/layer_{i}/{end}" for i in layers for end in PROJECTIONS], self.lora)

    @property
    def lora(self) -> LoraConfig | None:
        """The adapters; None without any.

        Raises:
            ConfigError: a setting of theirs is out of range.
        """
        if self.lora_rank == 0:
            return None
        return LoraConfig(self.lora_rank, self.lora_alpha, self.lora_dropout, self.lora_targets)
