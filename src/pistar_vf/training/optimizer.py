"""What is trained, and how: the freeze modes, AdamW and its schedule."""

import dataclasses
from typing import Literal, get_args

import optax

from pistar_vf.errors import ConfigError

FreezeMode = Literal["none", "siglip_only", "all_backbones", "all_but_projector"]

# The embedding table is frozen in every mode: the model stops its gradient, so moments for it would be dead memory.
_FROZEN_PREFIXES: dict[str, tuple[str, ...]] = {
    "none": ("llm/embedder/",),
    "siglip_only": ("llm/embedder/", "img/"),
    "all_backbones": ("llm/", "img/"),
}


def is_trainable(path: str, freeze_mode: FreezeMode) -> bool:
    """Whether the parameter at a path such as "img/embedding/kernel" is trained.

    Raises:
        ConfigError: `freeze_mode` is not one of the modes.
    """
    if freeze_mode not in get_args(FreezeMode):
        raise ConfigError(f"--freeze_mode: expected one of {get_args(FreezeMode)}, got {freeze_mode!r}")
    if freeze_mode == "all_but_projector":
        return path.startswith("img_projection/")
    return not path.startswith(_FROZEN_PREFIXES[freeze_mode])


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up and cosine decay.

    Attributes:
        peak_lr: learning rate at the end of the warm-up.
        decay_lr: learning rate at the last step.
        warmup_steps: None takes min(1000, num_train_steps // 10).
        grad_clip_norm: largest global norm of the gradients.
        weight_decay: decoupled weight decay.
        b1, b2, eps: Adam's constants.
    """

    peak_lr: float = 2.5e-5
    decay_lr: float = 2.5e-6
    warmup_steps: int | None = None
    grad_clip_norm: float = 1.0
    weight_decay: float = 1e-10
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8


def create_schedule(config: OptimizerConfig, num_train_steps: int) -> optax.Schedule:
    """Linear warm-up from peak / (warmup + 1), then cosine decay to `decay_lr`, as upstream's trainer has it.

    Upstream hands optax `num_train_steps - warmup_steps` as the length of the *whole* schedule, so the decay ends
    `warmup_steps` early; kept, because the figures published with it depend on it.
    """
    warmup = min(1000, num_train_steps // 10) if config.warmup_steps is None else config.warmup_steps
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


def create_optimizer(config: OptimizerConfig, num_train_steps: int) -> optax.GradientTransformation:
    """Global-norm clip, then AdamW on `create_schedule`."""
    return optax.chain(
        optax.clip_by_global_norm(config.grad_clip_norm),
        optax.adamw(
            create_schedule(config, num_train_steps),
            b1=config.b1,
            b2=config.b2,
            eps=config.eps,
            weight_decay=config.weight_decay,
        ),
    )
