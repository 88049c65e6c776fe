"""Name tables: which leaf of ours is which leaf of a foreign file, and how its axes are laid out there.

One table per format, read in both directions: import and export cannot disagree. Every deliberate difference
between a file and the model is a field of its table; whatever else differs is refused.

| field | difference |
|---|---|
| `unused` | leaves of the file that the value model has no use for (text tower, pooling head, language-model head, …) |
| `fresh` | leaves of the model that the file need not have; they keep their random values, which is announced |
| `folded` | leaves of the file that disappear into `img_projection` (see `folding`) |
| `RESIZED` | the position embedding, interpolated when the model's image size is another one |
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping

import jax
import numpy as np

from pistar_vf.models.lora import LORA
from pistar_vf.typing import Array

RESIZED = "img/pos_embedding"
HEAD_KERNEL, HEAD_BIAS = "img/head/kernel", "img/head/bias"
STATE = "state_projection/"
PROJECTION_KERNELS = ("img_projection/kernel", "img_projection/linear1/kernel", "img_projection/linear2/kernel")
_BLOCK = "img/Transformer/encoderblock"

Leaves = Mapping[str, jax.ShapeDtypeStruct]
"""Our leaves; of a file, a table needs to know the names only (`stored`)."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the axes of one leaf are arranged in a file.

    Attributes:
        load: (file's array, our shape) to our array.
        store: the inverse.
    """

    load: Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
    store: Callable[[np.ndarray], np.ndarray]

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The file's shape of a leaf of our `shape`."""
        return self.store(np.broadcast_to(np.int8(0), shape)).shape


SAME = Layout(load=lambda x, shape: x, store=lambda x: x)
FLAT = Layout(load=lambda x, shape: x.reshape(shape), store=lambda x: x.reshape(-1))
WITHOUT_BATCH = Layout(load=lambda x, shape: x[None], store=lambda x: x[0])
# torch's Linear holds [out, in]; heads are split on the output side (query, key, value) or the input side (out).
LINEAR = Layout(load=lambda x, shape: x.T.reshape(shape), store=lambda x: x.reshape(len(x), -1).T)
LINEAR_FROM_HEADS = Layout(load=lambda x, shape: x.T.reshape(shape), store=lambda x: x.reshape(-1, x.shape[-1]).T)
HEADS_FIRST = Layout(  # [heads, width, dim] to [heads * dim, width]
    load=lambda x, shape: x.reshape(shape[0], shape[2], shape[1]).swapaxes(1, 2),
    store=lambda x: x.swapaxes(1, 2).reshape(-1, x.shape[1]),
)
CONVOLUTION = Layout(  # [h, w, in, out] to [out, in, h, w]
    load=lambda x, shape: x.transpose(2, 3, 1, 0), store=lambda x: x.transpose(3, 2, 0, 1)
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One leaf of ours.

    Attributes:
        ours: its name in our tree.
        theirs: its name in the file, or the names of its parts.
        layout: of each part.
        stacked: our first axis counts the parts (layers, or key and value).
    """

    ours: str
    theirs: tuple[str, ...]
    layout: Layout = SAME
    stacked: bool = False

    def part_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The file's shape of each part of a leaf of our `shape`."""
        return tuple(self.layout.stored_shape(shape[1:] if self.stacked else shape))

    def load(self, parts: Iterator[Array], shape: tuple[int, ...]) -> np.ndarray:
        """Takes this entry's parts from an iterator and assembles our leaf, one part in memory at a time."""
        if not self.stacked:
            return self.layout.load(np.asarray(next(parts)), shape)
        first = self.layout.load(np.asarray(next(parts)), shape[1:])
        whole = np.empty(shape, first.dtype)
        whole[0] = first
        for index in range(1, len(self.theirs)):
            whole[index] = self.layout.load(np.asarray(next(parts)), shape[1:])
        return whole

    def store(self, leaf: Array) -> dict[str, np.ndarray]:
        """The parts of our leaf, by their names in the file."""
        leaf = np.asarray(leaf)
        return dict(zip(self.theirs, map(self.layout.store, leaf if self.stacked else [leaf]), strict=True))


@dataclasses.dataclass(frozen=True)
class Table:
    """A format's names.

    Attributes:
        title: the format, for messages.
        entries: every leaf that both sides have.
        unused: prefixes of leaves in the file that are not read.
        fresh: prefixes of our leaves that are not in the file.
        folded: leaves of the file that are folded into `img_projection`.
    """

    title: str
    entries: tuple[Entry, ...]
    unused: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()


def value_model_table(ours: Leaves, stored: Collection[str], prefix: str) -> Table:
    """Our own tree, upstream's and the bundle's: the same names below `prefix` ("params/", "ema_params/" or "")."""
    fresh = tuple(part for part in (STATE, LORA) if not any(name.startswith(prefix + part) for name in stored))
    # Into the one layer of a linear projection; no file has the head together with an MLP.
    foldable = HEAD_KERNEL not in ours and PROJECTION_KERNELS[0] in ours
    has_head = foldable and any(prefix + name in stored for name in (HEAD_KERNEL, HEAD_BIAS))
    return Table(
        title="value model",
        entries=tuple(Entry(name, (prefix + name,)) for name in ours if not name.startswith(fresh)),
        unused=("step", *({"params/", "ema_params/"} - {prefix})) if prefix else (),
        fresh=fresh,
        folded=(prefix + HEAD_KERNEL, prefix + HEAD_BIAS) if has_head else (),
    )


def siglip_npz_table(ours: Leaves, stored: Collection[str]) -> Table:
    """big_vision's npz; its layers are stacked (`encoderblock`) or apart (`encoderblock_0`, …)."""
    apart = any(name.startswith(f"params/{_BLOCK}_0/") for name in stored)
    return Table(
        title="SigLIP, big_vision",
        entries=tuple(_npz_entry(name, leaf, apart) for name, leaf in ours.items() if name.startswith("img/")),
        unused=("params/txt/", "params/img/MAPHead_0/", "params/t", "params/b"),
    )


def _npz_entry(name: str, leaf: jax.ShapeDtypeStruct, apart: bool) -> Entry:
    if not (apart and name.startswith(_BLOCK + "/")):
        return Entry(name, (f"params/{name}",))
    rest = name.removeprefix(_BLOCK + "/")
    return Entry(name, tuple(f"params/{_BLOCK}_{i}/{rest}" for i in range(leaf.shape[0])), stacked=True)


def gemma_orbax_table(ours: Leaves, stored: Collection[str]) -> Table:
    """Google's Gemma 3: `transformer/…`, and `/w` behind the two matrices of the feed-forward layer."""
    entries = []
    for name in ours:
        if name.startswith("llm/"):
            suffix = "/w" if name.endswith(("/gating_einsum", "/linear")) else ""
            entries.append(Entry(name, (name.replace("llm/", "transformer/", 1) + suffix,)))
    return Table(title="Gemma 3, Google", entries=tuple(entries))


_SIGLIP_HF = {
    "LayerNorm_0/scale": ("layer_norm1.weight", SAME),
    "LayerNorm_0/bias": ("layer_norm1.bias", SAME),
    "LayerNorm_1/scale": ("layer_norm2.weight", SAME),
    "LayerNorm_1/bias": ("layer_norm2.bias", SAME),
    "MlpBlock_0/Dense_0/kernel": ("mlp.fc1.weight", LINEAR),
    "MlpBlock_0/Dense_0/bias": ("mlp.fc1.bias", SAME),
    "MlpBlock_0/Dense_1/kernel": ("mlp.fc2.weight", LINEAR),
    "MlpBlock_0/Dense_1/bias": ("mlp.fc2.bias", SAME),
    "MultiHeadDotProductAttention_0/query/kernel": ("self_attn.q_proj.weight", LINEAR),
    "MultiHeadDotProductAttention_0/query/bias": ("self_attn.q_proj.bias", FLAT),
    "MultiHeadDotProductAttention_0/key/kernel": ("self_attn.k_proj.weight", LINEAR),
    "MultiHeadDotProductAttention_0/key/bias": ("self_attn.k_proj.bias", FLAT),
    "MultiHeadDotProductAttention_0/value/kernel": ("self_attn.v_proj.weight", LINEAR),
    "MultiHeadDotProductAttention_0/value/bias": ("self_attn.v_proj.bias", FLAT),
    "MultiHeadDotProductAttention_0/out/kernel": ("self_attn.out_proj.weight", LINEAR_FROM_HEADS),
    "MultiHeadDotProductAttention_0/out/bias": ("self_attn.out_proj.bias", SAME),
}


def siglip_huggingface_table(ours: Leaves, stored: Collection[str]) -> Table:
    """`SiglipModel` (names below `vision_model.`) or a vision tower saved alone (no prefix)."""
    root = "vision_model." if any(name.startswith("vision_model.") for name in stored) else ""
    depth = ours[f"{_BLOCK}/LayerNorm_0/scale"].shape[0]
    layers = [f"{root}encoder.layers.{i}." for i in range(depth)]
    blocks = (
        Entry(f"{_BLOCK}/{name}", tuple(layer + theirs for layer in layers), layout, stacked=True)
        for name, (theirs, layout) in _SIGLIP_HF.items()
    )
    return Table(
        title="SigLIP, Hugging Face",
        entries=(
            Entry("img/embedding/kernel", (root + "embeddings.patch_embedding.weight",), CONVOLUTION),
            Entry("img/embedding/bias", (root + "embeddings.patch_embedding.bias",)),
            Entry(RESIZED, (root + "embeddings.position_embedding.weight",), WITHOUT_BATCH),
            Entry("img/Transformer/encoder_norm/scale", (root + "post_layernorm.weight",)),
            Entry("img/Transformer/encoder_norm/bias", (root + "post_layernorm.bias",)),
            *blocks,
        ),
        unused=("text_model.", root + "head.", root + "embeddings.position_ids", "logit_scale", "logit_bias"),
    )


_GEMMA_HF = {
    "attn/q_einsum/w": (("self_attn.q_proj.weight",), HEADS_FIRST, False),
    "attn/kv_einsum/w": (("self_attn.k_proj.weight", "self_attn.v_proj.weight"), HEADS_FIRST, True),
    "attn/attn_vec_einsum/w": (("self_attn.o_proj.weight",), LINEAR_FROM_HEADS, False),
    "attn/_query_norm/scale": (("self_attn.q_norm.weight",), SAME, False),
    "attn/_key_norm/scale": (("self_attn.k_norm.weight",), SAME, False),
    "mlp/gating_einsum": (("mlp.gate_proj.weight", "mlp.up_proj.weight"), SAME, True),
    "mlp/linear": (("mlp.down_proj.weight",), LINEAR, False),
    "pre_attention_norm/scale": (("input_layernorm.weight",), SAME, False),
    "post_attention_norm/scale": (("post_attention_layernorm.weight",), SAME, False),
    "pre_ffw_norm/scale": (("pre_feedforward_layernorm.weight",), SAME, False),
    "post_ffw_norm/scale": (("post_feedforward_layernorm.weight",), SAME, False),
}


def gemma_huggingface_table(ours: Leaves, stored: Collection[str]) -> Table:
    """`Gemma3ForCausalLM` (names below `model.`) or `Gemma3TextModel` saved alone (no prefix)."""
    root = "model." if any(name.startswith("model.") for name in stored) else ""
    depth = sum(name.startswith("llm/layer_") and name.endswith("/mlp/linear") for name in ours)
    layers = (
        Entry(f"llm/layer_{i}/{name}", tuple(f"{root}layers.{i}.{part}" for part in parts), layout, stacked)
        for i in range(depth)
        for name, (parts, layout, stacked) in _GEMMA_HF.items()
    )
    return Table(
        title="Gemma 3, Hugging Face",
        entries=(
            Entry("llm/embedder/input_embedding", (root + "embed_tokens.weight",)),
            Entry("llm/final_norm/scale", (root + "norm.weight",)),
            *layers,
        ),
        unused=("lm_head.",),
    )
