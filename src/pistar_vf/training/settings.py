"""Settings of the engine: the run, the optimiser, what a step does to its batch, precision, and records."""

import dataclasses
from pathlib import Path

from pistar_vf.choices import CheckpointParams, ComputeDtype, FreezeMode, StorageDtype, WandbMode


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """How long the run is, and what it does on the way."""

    checkpoint_dir: Path
    """Where checkpoints, metrics and logs go."""
    batch_size: int = 32
    """Frames (in stage 1: questions) per step, all devices together."""
    num_train_steps: int = 30_000
    """Number of updates."""
    log_interval: int = 100
    """Steps between log lines."""
    val_interval: int = 100
    """Steps between validations; <= 0 switches validation off and trains on every episode. Stage 1 always validates its
    last step."""
    num_workers: int = 2
    """Threads that gather batches, and processes that decode video the first time."""
    seed: int = 42
    """Decides initialisation, split, order and augmentation."""
    save_interval: int = 1_000
    """Steps between checkpoints; the last step is always saved."""
    max_to_keep: int | None = None
    """Newest checkpoints to keep; default: all. The best one is kept besides."""
    checkpoint_params: CheckpointParams = "full"
    """What each checkpoint holds. full: all parameters and their averages. trainable: those that are trained; what is
    frozen is written once for the whole run, into the folder frozen/ beside the checkpoints."""
    resume_from_checkpoint: str | None = None
    """Go on from a checkpoint of checkpoint_dir: its name (step_00001000) or "latest"."""
    download: bool = False
    """Download what is missing and published on the Hugging Face hub: weights, tokenizer and questions, to where they
    are looked for. What is complete is kept, so a stopped download goes on when the command is given again."""


@dataclasses.dataclass(frozen=True)
class ValueRunSettings(RunSettings):
    """How long the run is, and what it does on the way."""

    preset: str = "pistar"
    """Named set of defaults: pistar or stitched (full size), tiny or tiny_stitched (laptop, from scratch)."""
    val_max_frames: int = 2_048
    """Frames per validation, evenly spaced over the held-out episodes."""


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """AdamW with warm-up and cosine decay: what is trained, and how fast."""

    freeze_mode: FreezeMode = "all_backbones"
    """What is not trained. none: everything is trained. siglip_only: the vision tower is frozen. all_backbones: the
    vision tower and the language model are. all_but_projector: only the projector is trained, as in stage 1.
    all_but_head: only the value head is, of a model that was trained before; with --cache_features in no time."""
    peak_lr: float = 2.5e-5
    """Learning rate after the warm-up."""
    decay_lr: float = 2.5e-6
    """Learning rate at the end of the cosine decay."""
    warmup_steps: int | None = None
    """Steps of linear warm-up; default min(1000, num_train_steps // 10)."""
    grad_clip_norm: float = 1.0
    """Largest global norm of the gradients."""
    weight_decay: float = 1e-10
    """AdamW's decoupled weight decay."""
    ema_decay: float = 0.99
    """Decay of the moving average of the weights, which is validated, relabels, and is stage 1's result."""


@dataclasses.dataclass(frozen=True)
class AugmentSettings:
    """What is done to pictures and states in training only."""

    augment: bool = True
    """Random crop, rotation and colour jitter, on the accelerator."""
    state_noise: float = 0.0
    """Standard deviation of the noise added to the normalised state in training."""


@dataclasses.dataclass(frozen=True)
class DeviceSettings:
    """Devices, memory and precision."""

    fsdp_devices: int = 1
    """Devices that share one copy of the parameters; the rest of the devices splits the data."""
    dtype: ComputeDtype = "auto"
    """Compute dtype; auto: bfloat16 on accelerators, float32 on CPU. Parameters stay float32."""
    frozen_dtype: StorageDtype = "float32"
    """How the matrices of frozen parts are held in memory and in checkpoints; bfloat16 halves both."""
    remat: bool = False
    """Recompute activations in the backward pass: less memory, about a third more compute."""
    coordinator: str | None = None
    """Address of the first of several processes that train one model, host:port, such as 10.0.0.1:12345: the same in
    all of them. `accelerate launch` and `torchrun` need no flag. See docs/training.md."""
    num_processes: int | None = None
    """Number of these processes, with --coordinator."""
    process_id: int | None = None
    """Number of this one, from 0 on, with --coordinator; the first one prints and writes."""


@dataclasses.dataclass(frozen=True)
class WandbSettings:
    """Weights & Biases; metrics.jsonl is written in any case."""

    wandb_project: str = "openpi"
    """Weights & Biases project."""
    wandb_entity: str | None = None
    """Weights & Biases entity (user or team)."""
    wandb_run_name: str | None = None
    """Weights & Biases run name."""
    wandb_tags: str | None = None
    """Weights & Biases tags, comma-separated."""
    wandb_mode: WandbMode = "online"
    """Online without credentials, or without wandb installed, falls back with a notice."""
