"""Does the `config.json` beside Hugging Face weights describe the model they are loaded into?

Shapes alone do not tell: 16 heads of 72 and 8 of 144 have the same matrices.
"""

from pathlib import Path
from typing import Any

from pistar_vf.errors import CheckpointError
from pistar_vf.foreign_files import read_object
from pistar_vf.models.gemma3 import Gemma3Config
from pistar_vf.models.siglip import SiglipConfig

SIGLIP_TYPES = ("siglip", "siglip_vision_model")
GEMMA_TYPES = ("gemma3_text",)
_DEFAULT_IMAGE_SIZE = 224


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`.

    Raises:
        CheckpointError: it is missing, unreadable, or of a model that is neither SigLIP nor Gemma 3 text.
    """
    path = folder / "config.json"
    config = read_object(path, "the config.json of a Hugging Face model", CheckpointError)
    kind = config.get("model_type")
    if kind not in SIGLIP_TYPES + GEMMA_TYPES:
        raise CheckpointError(
            f"{path}: expected a model_type of {', '.join(SIGLIP_TYPES + GEMMA_TYPES)}, got {kind!r}; "
            "use google/siglip-so400m-patch14-224 or -384, google/siglip2-so400m-patch14-224, google/gemma-3-270m(-it)"
        )
    return config


def siglip_fields(config: SiglipConfig) -> dict[str, Any]:
    """What `config.json` calls the sizes of a vision tower; the image size is not among them (see `stored_tokens`)."""
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "intermediate_size": config.mlp_dim,
        "num_attention_heads": config.num_heads,
        "patch_size": config.patch_size,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
    }


def gemma_fields(config: Gemma3Config) -> dict[str, Any]:
    """What `config.json` calls the sizes of a language model."""
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "intermediate_size": config.mlp_dim,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "query_pre_attn_scalar": config.head_dim,
        "vocab_size": config.vocab_size,
        "sliding_window": config.sliding_window,
        "rope_theta": config.global_rope_base,
        "rope_local_base_freq": config.local_rope_base,
        "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh",
        "layer_types": ["full_attention" if config.is_global(i) else "sliding_attention" for i in range(config.depth)],
        "tie_word_embeddings": True,
        "final_logit_softcapping": None,
        "attn_logit_softcapping": None,
    }


def config_problems(raw: dict[str, Any], siglip: SiglipConfig, gemma: Gemma3Config) -> list[str]:
    """`≠` lines; a field that the file leaves out has transformers' default and is not compared."""
    if raw["model_type"] in GEMMA_TYPES:
        expected, found = gemma_fields(gemma), {**raw, **_rope_bases(raw)}
    else:
        expected, found = siglip_fields(siglip), vision_config(raw)
    return [
        f"≠ config.json {name}: expected {value}, got {found[name]}"
        for name, value in expected.items()
        if name in found and found[name] != value
    ]


def stored_tokens(raw: dict[str, Any], patch_size: int) -> int:
    """Rows that the position embedding of a vision tower has, by its image size.

    Raises:
        CheckpointError: it is no size.
    """
    size = vision_config(raw).get("image_size", _DEFAULT_IMAGE_SIZE)
    if not isinstance(size, int) or size < patch_size:
        raise CheckpointError(f"config.json image_size: expected pixels, at least {patch_size}, got {size!r}")
    return (size // patch_size) ** 2


def vision_config(raw: dict[str, Any]) -> dict[str, Any]:
    """The vision tower's part of a SigLIP configuration."""
    return _object(raw, "vision_config") if "vision_config" in raw else raw


def _rope_bases(raw: dict[str, Any]) -> dict[str, Any]:
    """The RoPE bases where transformers 5 keeps them, under their older names."""
    nested = _object(raw, "rope_parameters") if raw.get("rope_parameters") else {}
    names = {"full_attention": "rope_theta", "sliding_attention": "rope_local_base_freq"}
    return {names[kind]: _object(nested, kind).get("rope_theta") for kind in names if kind in nested}


def _object(raw: dict[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(raw[key], dict):
        raise CheckpointError(f"config.json {key}: expected an object, got {raw[key]!r}; download it again")
    return raw[key]
