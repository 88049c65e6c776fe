"""Every setting of stage 1; the fields are the command's flags."""

import dataclasses
from pathlib import Path
from typing import Literal

from pistar_vf.recipes.language import VqaSettings
from pistar_vf.training.optimizer import FreezeMode, OptimizerConfig
from pistar_vf.weights.bundle import PretrainedSource


@dataclasses.dataclass(frozen=True)
class AlignmentConfig:
    """Stage 1: train the projector between vision tower and language model on questions about pictures.

    The loss is the next-token loss of the answers; everything but the projector is frozen. The projector with the
    lowest validation loss becomes best_projector.safetensors and, for torch, best_projector.pt; stage 2 starts from
    either (--projector_path).
    """

    dataset_name: str = "HuggingFaceM4/the_cauldron"
    """Questions about pictures: a folder (parquet or arrow files of The Cauldron's layout), a LLaVA .json, a .jsonl, or
    a name in the local Hugging Face cache. Nothing is downloaded."""
    cauldron_subset: str | None = None
    """Folder of it, such as vqav2."""
    image_dir: Path | None = None
    """Where the pictures of a JSON file are; default: beside it."""
    checkpoint_dir: Path = Path("outputs_alignment")
    """Where the projector, metrics and logs go."""
    template: Literal["plain", "gemma-chat"] | None = None
    """How questions and answers become text. Default: gemma-chat, as Gemma 3 270M-it was tuned to; plain for
    gemma3_tiny."""
    max_token_len: int = 128
    """Longest question with its answer, tokens; longer ones are left out and counted."""
    val_fraction: float = 0.05
    """Share of the pictures whose questions are held out."""
    val_max_questions: int = 512
    """Questions per validation, evenly spaced over the held-out ones."""

    batch_size: int = 32
    """Questions per step, all devices together."""
    num_train_steps: int = 5_000
    """Number of updates."""
    log_interval: int = 100
    """Steps between log lines."""
    val_interval: int = 500
    """Steps between validations; the last step is always validated."""
    num_workers: int = 2
    """Threads that read pictures."""
    seed: int = 42
    """Decides initialisation, split and order."""
    freeze_mode: FreezeMode = "all_but_projector"
    """all_but_projector is stage 1; none trains everything, which makes a model to align from scratch."""
    peak_lr: float = 1e-3
    """Learning rate after the warm-up."""
    decay_lr: float = 1e-5
    """Learning rate at the end of the cosine decay."""
    warmup_steps: int | None = None
    """Steps of linear warm-up; default min(1000, num_train_steps // 10)."""
    grad_clip_norm: float = 1.0
    """Largest global norm of the gradients."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    ema_decay: float = 0.99
    """Decay of the moving average of the weights, which is validated and saved."""

    siglip_variant: str = "So400m/14-384"
    """Vision tower."""
    gemma_variant: str = "gemma3_270m"
    """Language model."""
    image_size: int | None = None
    """Side of the model's square images, pixels; default: the vision tower's own."""
    image_fit: Literal["pad", "stretch"] = "pad"
    """How pictures become square: black borders or stretched."""
    tokenizer_path: str | None = None
    """Gemma 3's tokenizer.model; gemma3_tiny trains one on the data without it."""
    pretrained_source: PretrainedSource | None = None
    """Weights to start from: base, huggingface or checkpoint, see docs/weights.md."""
    pretrained_path: tuple[Path, ...] = ()
    """Where they are: two paths for huggingface, one for checkpoint."""
    frozen_dtype: Literal["float32", "bfloat16"] = "float32"
    """How the matrices of frozen parts are held."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute dtype; auto: bfloat16 on accelerators, float32 on CPU."""
    remat: bool = False
    """Recompute activations in the backward pass: less memory, more compute."""
    fsdp_devices: int = 1
    """Devices that share one copy of the parameters."""
    wandb_project: str = "openpi"
    """Weights & Biases project."""
    wandb_entity: str | None = None
    """Weights & Biases entity (user or team)."""
    wandb_run_name: str | None = None
    """Weights & Biases run name."""
    wandb_tags: str | None = None
    """Weights & Biases tags, comma-separated."""
    wandb_mode: Literal["online", "offline", "disabled"] = "online"
    """Online without credentials, or without wandb installed, falls back with a notice."""

    @property
    def vqa(self) -> VqaSettings:
        """The data's part of the settings."""
        return VqaSettings(
            data=self.dataset_name,
            subset=self.cauldron_subset,
            image_dir=self.image_dir,
            template=self.template or ("plain" if self.gemma_variant == "gemma3_tiny" else "gemma-chat"),
            max_token_len=self.max_token_len,
            val_fraction=self.val_fraction,
        )

    @property
    def optimizer(self) -> OptimizerConfig:
        """The optimiser's part of the settings."""
        return OptimizerConfig(
            peak_lr=self.peak_lr,
            decay_lr=self.decay_lr,
            warmup_steps=self.warmup_steps,
            grad_clip_norm=self.grad_clip_norm,
            weight_decay=self.weight_decay,
        )
