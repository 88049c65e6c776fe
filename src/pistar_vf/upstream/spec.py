"""Checkpoints of upstream, which hold arrays and nothing else: their spec from the leaves and from what the user says.

Sizes are read from the shapes. What no shape shows is upstream's only choice: support [-1, 0], prompts of 48 tokens,
no state, Pillow's resizing, Gemma's window and its global layers, and the numerics of `ValueModelConfig.numerics`.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pistar_vf.categorical import Support
from pistar_vf.checkpoints.orbax_tree import tree_metadata
from pistar_vf.checkpoints.value_spec import FILE_NAME, ValueSpec
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.models.gemma3 import Gemma3Config
from pistar_vf.models.siglip import SiglipConfig
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import flatten, leaf_differences, listed_lines, shapes_of
from pistar_vf.returns import Normaliser
from pistar_vf.tokenizer import MAX_TOKEN_LEN, PAD_ID, PROMPT_SUFFIX, PromptTokenizer, resolve_tokenizer
from pistar_vf.typing import Bool, Int

BASE_CAMERA = "base_0_rgb"
_BLOCK = "img/Transformer/encoderblock"
_log = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class UpstreamInputs:
    """What a checkpoint of upstream does not say about its inputs.

    Attributes:
        camera_keys: model-side camera name to the dataset's feature; None for one that is black and masked.
        tokenizer_path: Gemma 3's tokenizer.model; None looks where `resolve_tokenizer` does.
    """

    camera_keys: Mapping[str, str | None]
    tokenizer_path: Path | None = None


class CuttingTokenizer(PromptTokenizer):
    """Cuts prompts that are too long, the suffix with them, as upstream did in training."""

    def tokenize(self, prompt: str) -> tuple[Int[np.ndarray, " l"], Bool[np.ndarray, " l"]]:
        """Token ids, padded with 0 to `max_token_len`; and a mask, True on real tokens."""
        ids = [self.bos_id, *self.encode([prompt.rstrip() + PROMPT_SUFFIX])[0]]
        if len(ids) > self.max_token_len:
            _log.warning("prompt cut to %d of %d tokens, as upstream cuts it: %r", self.max_token_len, len(ids), prompt)
        ids = ids[: self.max_token_len]
        tokens = np.full(self.max_token_len, PAD_ID, np.int32)
        tokens[: len(ids)] = ids
        return tokens, tokens != PAD_ID


def is_upstream(checkpoint: Path) -> bool:
    """Whether a checkpoint has no spec of its own."""
    return not (checkpoint / FILE_NAME).is_file()


def upstream_spec(checkpoint: Path, inputs: UpstreamInputs, *, use_ema: bool) -> tuple[ValueSpec, str, PromptTokenizer]:
    """The spec of a checkpoint of upstream.

    Args:
        checkpoint: an orbax directory; its arrays are not read.
        inputs: what it does not say.
        use_ema: take the moving average of the weights, where there is one.

    Returns:
        (spec, "ema_params" or "params", tokenizer).

    Raises:
        CheckpointError: the leaves are not those of upstream's value model, or the tokenizer is another model's.
        ConfigError: no base camera is named.
        TokenizerError: there is no tokenizer.
    """
    cameras = dict(inputs.camera_keys)
    if cameras.get(BASE_CAMERA) is None:
        raise ConfigError(
            f"{checkpoint}: has no {FILE_NAME}, so it is taken for upstream's, which does not say which cameras it "
            "reads: name them with --base_image_col and --wrist_image_col, and pass --tokenizer_path"
        )
    key, shapes = _shapes(checkpoint, use_ema)
    model = _model(shapes, tuple(cameras), f"{checkpoint}: {key}")
    path = None if inputs.tokenizer_path is None else str(inputs.tokenizer_path)
    tokenizer = CuttingTokenizer.load(resolve_tokenizer(path), MAX_TOKEN_LEN)
    if tokenizer.vocab_size > model.gemma.vocab_size:
        raise CheckpointError(
            f"{checkpoint}: expected a tokenizer of at most {model.gemma.vocab_size} pieces, as many as the model has "
            f"embeddings, got {tokenizer.vocab_size}; pass the one it was trained with (--tokenizer_path)"
        )
    return _spec(model, cameras, tokenizer), key, tokenizer


def _spec(model: ValueModelConfig, cameras: dict[str, str | None], tokenizer: PromptTokenizer) -> ValueSpec:
    return ValueSpec(
        model=model,
        camera_keys=cameras,
        image_fit="openpi",
        state=None,
        tokenizer_sha256=tokenizer.digest,
        label_column="",
        label_conventions=(),
        trained_on=None,
        # All of upstream's labelling tools divide an episode's steps by its own length.
        normaliser=Normaliser("episode_ramp"),
        versions={},
    )


def _shapes(checkpoint: Path, use_ema: bool) -> tuple[str, Shapes]:
    """Which of the two trees is read, and the shapes of its leaves."""
    trees = tree_metadata(checkpoint)
    wanted = "ema_params" if use_ema else "params"
    key = wanted if wanted in trees else "params"
    if key not in trees:
        raise CheckpointError(
            f"{checkpoint}: expected a checkpoint of upstream's train_value.py, which holds params and ema_params, got "
            f"{', '.join(sorted(trees)[:8]) or 'nothing'}"
        )
    if key != wanted:
        _log.warning("%s: no ema_params in it; scoring with params", checkpoint)
    return key, shapes_of(flatten(trees[key]))


def _model(shapes: Shapes, cameras: tuple[str, ...], where: str) -> ValueModelConfig:
    """The architecture that has exactly these leaves."""
    read = _Reader(shapes, where)
    heads, _ = read("cross_attention/query/bias", 2)
    (num_atoms,) = read("value_head/linear2/bias", 1)
    model = ValueModelConfig(
        siglip=_siglip(read),
        gemma=_gemma(read),
        support=Support(num_atoms=num_atoms),
        cameras=cameras,
        state_encoding="none",
        cross_attention_heads=heads,
        max_token_len=MAX_TOKEN_LEN,
        numerics="upstream",
    )
    _check_leaves(shapes, model, where)
    return model


def _siglip(read: "_Reader") -> SiglipConfig:
    patch, _, _, width = read("img/embedding/kernel", 4)
    _, num_tokens, _ = read("img/pos_embedding", 3)
    depth, _, mlp_dim = read(f"{_BLOCK}/MlpBlock_0/Dense_0/kernel", 3)
    _, num_heads, _ = read(f"{_BLOCK}/MultiHeadDotProductAttention_0/query/bias", 3)
    return SiglipConfig(
        width=width,
        depth=depth,
        mlp_dim=mlp_dim,
        num_heads=num_heads,
        patch_size=patch,
        image_size=patch * round(num_tokens**0.5),  # another number of tokens than a square is found by the check
        head="img/head/kernel" in read.shapes,
    )


def _gemma(read: "_Reader") -> Gemma3Config:
    vocab_size, width = read("llm/embedder/input_embedding", 2)
    num_heads, _, head_dim = read("llm/layer_0/attn/q_einsum/w", 3)
    _, num_kv_heads, _, _ = read("llm/layer_0/attn/kv_einsum/w", 4)
    _, mlp_dim, _ = read("llm/layer_0/mlp/gating_einsum", 3)
    return Gemma3Config(
        width=width,
        depth=sum(name.startswith("llm/layer_") and name.endswith("/mlp/linear") for name in read.shapes),
        mlp_dim=mlp_dim,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        vocab_size=vocab_size,
    )


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Shapes by name, with an error that says what a checkpoint should have had."""

    shapes: Shapes
    where: str

    def __call__(self, name: str, rank: int) -> tuple[int, ...]:
        shape = self.shapes.get(name)
        if shape is None or len(shape) != rank:
            found = "no such leaf" if shape is None else str(shape)
            raise CheckpointError(
                f"{self.where}/{name}: expected {rank} axes, as in upstream's value model, got {found}; a checkpoint "
                f"of this library needs its {FILE_NAME} beside it"
            )
        return shape


def _check_leaves(shapes: Shapes, model: ValueModelConfig, where: str) -> None:
    """Refuses leaves that upstream's model of these sizes does not have, has otherwise, or has besides."""
    lines = leaf_differences(shapes_of(flatten(ValueFunction(model).shapes())), shapes)
    if lines:
        raise CheckpointError(
            f"{where}: {len(lines)} differences from upstream's value model (− missing, + without a place, ≠ other):"
            f"{listed_lines(lines)}\nA checkpoint of this library needs its {FILE_NAME} beside it"
        )
