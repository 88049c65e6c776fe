"""A small checkpoint with upstream's leaves and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.params import unflatten
from pistar_vf.testing.fake_weights import random_params
from pistar_vf.testing.tiny import tiny_model_config
from pistar_vf.tokenizer import train_prompt_tokenizer

_SIZES = tiny_model_config()
FRONT, WRIST = "observation.images.front", "observation.images.wrist"
CAMERAS = {"base_0_rgb": FRONT, "wrist_0_rgb": WRIST}
_GEMMA = {"width": 32, "depth": 2, "mlp_dim": 48, "num_heads": 2, "num_kv_heads": 1, "head_dim": 16}
MODEL = tiny_model_config(
    gemma=type(_SIZES.gemma)(**_GEMMA, vocab_size=512),  # layers of upstream: every 6th is global
    state_dim=0,
    state_encoding="none",
    max_token_len=48,
    numerics="upstream",
)
TOKENIZER = train_prompt_tokenizer(["put the red block in the left bin", "drop it"])


def write_upstream_checkpoint(root, *, changes=(), without=(), keys=("params", "ema_params")):
    """Writes `<root>/step_00000005` and `<root>/tokenizer.model`; returns the first.

    Args:
        root: a folder.
        changes: leaves to set.
        without: leaves to leave out.
        keys: which trees it has; the numbers in them differ.
    """
    tree = {"step": jnp.asarray(5)}
    for seed, key in enumerate(keys):
        flat = {name: jnp.asarray(leaf) for name, leaf in random_params(MODEL, seed, np.float32).items()}
        flat = {name: leaf for name, leaf in {**flat, **dict(changes)}.items() if name not in without}
        tree[key] = unflatten(flat)
    root.mkdir(exist_ok=True)
    write_tree(root / "step_00000005", jax.block_until_ready(tree))
    (root / "tokenizer.model").write_bytes(TOKENIZER.model)
    return root / "step_00000005"
