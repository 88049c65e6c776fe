"""What is trained, and how: the freeze modes, AdamW and its schedule."""

from typing import get_args

import optax

from pistar_vf.choices import FreezeMode
from pistar_vf.errors import ConfigError
from pistar_vf.training.settings import OptimizerSettings

B1, B2, EPS = 0.9, 0.95, 1e-8
"""Adam's constants."""

# The embedding table is frozen in every mode: the model stops its gradient, so moments for it would be dead memory.
_FROZEN_PREFIXES: dict[str, tuple[str, ...]] = {
    "none": ("llm/embedder/",),
    "siglip_only": ("llm/embedder/", "img/"),
    "all_backbones": ("llm/", "img/"),
}


_TRAINED_ALONE = {"all_but_projector": "img_projection/", "all_but_head": "value_head/"}


def is_trainable(path: str, freeze_mode: FreezeMode) -> bool:
    """Whether the parameter at a path such as "img/embedding/kernel" is trained.

    Raises:
        ConfigError: `freeze_mode` is not one of the modes.
    """
    if freeze_mode not in get_args(FreezeMode):
        raise ConfigError(f"--freeze_mode: expected one of {get_args(FreezeMode)}, got {freeze_mode!r}")
    if freeze_mode in _TRAINED_ALONE:
        return path.startswith(_TRAINED_ALONE[freeze_mode])
    return not path.startswith(_FROZEN_PREFIXES[freeze_mode])


def num_warmup_steps(config: OptimizerSettings, num_train_steps: int) -> int:
    """Steps of linear warm-up: as set, or a tenth of the run, at most 1000."""
    return min(1000, num_train_steps // 10) if config.warmup_steps is None else config.warmup_steps


def create_schedule(config: OptimizerSettings, num_train_steps: int) -> optax.Schedule:
    """Linear warm-up from peak / (warmup + 1), then cosine decay to `decay_lr`, as upstream's trainer has it.

    Upstream hands optax `num_train_steps - warmup_steps` as the length of the *whole* schedule, so the decay ends
    `warmup_steps` early; kept, because the figures published with it depend on it.
    """
    warmup = num_warmup_steps(config, num_train_steps)
    decay_steps = max(num_train_steps - warmup, 1)
    if warmup >= decay_steps:
        # optax needs room for the decay; a run this short is all warm-up.
        decay_steps = warmup + 1
    return optax.warmup_cosine_decay_schedule(
        init_value=config.peak_lr / (warmup + 1),
        peak_value=config.peak_lr,
        warmup_steps=warmup,
        decay_steps=decay_steps,
        end_value=config.decay_lr,
    )


def create_optimizer(config: OptimizerSettings, num_train_steps: int) -> optax.GradientTransformation:
    """Global-norm clip, then AdamW on `create_schedule`."""
    return optax.chain(
        optax.clip_by_global_norm(config.grad_clip_norm),
        optax.adamw(
            create_schedule(config, num_train_steps),
            b1=B1,
            b2=B2,
            eps=EPS,
            weight_decay=config.weight_decay,
        ),
    )
