"""Every setting of a training run; the fields are the command's flags."""

import dataclasses
from pathlib import Path
from typing import Literal

from pistar_vf.categorical import LabelEncoding
from pistar_vf.labels.targets import TargetRule
from pistar_vf.models.lora import LoraConfig
from pistar_vf.models.value_config import Architecture, StateEncoding
from pistar_vf.training.optimizer import FreezeMode, OptimizerConfig
from pistar_vf.weights.bundle import PretrainedSource


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a value model on a labelled LeRobot dataset."""

    data_dir: str | tuple[str, ...]
    """Dataset: a folder, or local/<name> in the LeRobot cache. Several, after one flag or after a flag each, are mixed
    in the shares of --data_weight."""
    checkpoint_dir: Path
    """Where checkpoints, metrics and logs go."""
    val_data_dir: str | None = None
    """A second dataset to validate on; without it, a part of the episodes is held out (--val_fraction)."""
    batch_size: int = 32
    """Frames per step, all devices together."""
    num_train_steps: int = 30_000
    """Number of updates."""
    log_interval: int = 100
    """Steps between log lines."""
    val_interval: int = 100
    """Steps between validations; <= 0 switches validation off and trains on every episode."""
    save_interval: int = 1_000
    """Steps between checkpoints; the last step is always saved."""
    num_workers: int = 2
    """Threads that gather batches, and processes that decode video the first time."""
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
    seed: int = 42
    """Decides initialisation, split, order and augmentation."""
    gemma_variant: str = "gemma3_270m"
    """Language model: gemma3_270m or gemma3_tiny."""
    siglip_variant: str = "So400m/14"
    """Vision tower: So400m/14, So400m/14-384 or tiny/14."""
    fsdp_devices: int = 1
    """Devices that share one copy of the parameters; the rest of the devices splits the data."""
    load_pretrained: bool = False
    """Start from pretrained weights; alone: --pretrained_source bundle."""
    resume_from_checkpoint: str | None = None
    """Go on from a checkpoint of checkpoint_dir: its name (step_00001000) or "latest"."""
    tokenizer_path: str | None = None
    """Gemma 3's tokenizer.model; else $OPENPI_VALUE_TOKENIZER_PATH, $GEMMA_TOKENIZER_PATH or the bundle's."""
    peak_lr: float = 2.5e-5
    """Learning rate after the warm-up."""
    decay_lr: float = 2.5e-6
    """Learning rate at the end of the cosine decay."""
    warmup_steps: int | None = None
    """Steps of linear warm-up; default min(1000, num_train_steps // 10)."""
    grad_clip_norm: float = 1.0
    """Largest global norm of the gradients."""
    freeze_mode: FreezeMode = "all_backbones"
    """What is not trained: nothing, the vision tower, or the vision tower and the language model."""

    # What upstream's trainer does not have.
    architecture: Architecture = "pistar"
    """pistar: cross-attention and a bidirectional decoder. stitched: an MLP in front of a causal language model."""
    lora_rank: int = 0
    """Rank of adapters on the language model's projections; 0 for none. They are trained whatever is frozen."""
    lora_alpha: float = 16.0
    """The adapters' sum is scaled by this, divided by the rank."""
    lora_dropout: float = 0.0
    """Share of the adapters' inputs hidden in every step."""
    lora_targets: str = LoraConfig.targets
    """Regular expression of whole names: which projections get an adapter."""
    label_encoding: LabelEncoding = "two_hot"
    """Targets as distributions: two_hot keeps the label as its mean, one_hot takes the nearest atom."""
    projector_path: Path | None = None
    """A projector from stage 1 (`best_projector.safetensors` or `.pt`), or one of torch's (`.pt`), to start from."""
    vqa_data: str | None = None
    """Question-answer data to train on besides: a file, a folder, or a name in the Hugging Face cache."""
    vqa_subset: str | None = None
    """Folder of it, such as vqav2."""
    vqa_image_dir: Path | None = None
    """Where the pictures of a JSON file are; default: beside it."""
    vqa_template: Literal["plain", "gemma-chat"] = "plain"
    """How questions and answers become text; gemma-chat for checkpoints that were tuned to chat (-it)."""
    vqa_max_token_len: int = 128
    """Longest question with its answer, tokens; longer ones are left out and counted."""
    vqa_val_fraction: float = 0.05
    """Share of the pictures whose questions are held out."""
    vqa_ratio: float = 0.25
    """Questions per frame in a step."""
    vqa_weight: float = 0.1
    """Weight of the language loss: value loss + weight * language loss."""
    pretrained_source: PretrainedSource | None = None
    """Weights to start from. bundle: the value model of the VLM bundle ($OPENPI_VLM_CKPT_DIR, default
    ~/Downloads/vlm_ckpt). base: the bundle's SigLIP 2 and Gemma 3, with a fresh fusion and head. huggingface: the same
    two from Hugging Face folders. checkpoint: a checkpoint of this library or of upstream."""
    pretrained_path: tuple[Path, ...] = ()
    """Where they are: two paths for huggingface, one for checkpoint; bundle and base have places of their own."""
    pretrained_key: Literal["params", "ema_params"] = "params"
    """Which of the two trees of a value model to start from."""
    allow_uninformative_tower: bool = False
    """Start even from a value model whose vision tower carries no information (an img/head of zeros)."""
    frozen_dtype: Literal["float32", "bfloat16"] = "float32"
    """How the matrices of frozen parts are held in memory and in checkpoints; bfloat16 halves both."""
    preset: str = "pistar"
    """Named set of defaults: pistar or stitched (full size), tiny or tiny_stitched (laptop, from scratch)."""
    image_key: str | None = None
    """Fixed camera; inferred when unambiguous."""
    wrist_image_key: str | None = None
    """Wrist camera; inferred when unambiguous; "missing" declares one that this dataset lacks."""
    extra_image_keys: tuple[str, ...] = ()
    """More cameras."""
    state_key: str = "observation.state"
    """Column of the robot state."""
    state_encoding: StateEncoding = "token"
    """Feed the state as one token, or not at all (upstream's numerics)."""
    prompt_column: str | None = None
    """Per-frame text column with the prompt; default: the task table."""
    data_weight: tuple[float, ...] = ()
    """Share of each --data_dir in every batch, in any unit, in the same order; default: their numbers of frames."""
    value_column: str | None = None
    """Column with the value labels; default value_label, or the old spelling value_lable."""
    label_convention: str | None = None
    """Convention of the label columns (recap, libero_rollout, robot_collector, add_value_labels, srpo_progress,
    paper), where the data cannot tell; a declaration that the data contradict is refused."""
    target: TargetRule = "dataset"
    """What to train on. dataset: the value labels as they are. paper: -1 per step, divided by the longest episode of
    the task. episode_ramp: divided by the episode's own length. Both are computed from the outcomes."""
    failure_penalty: float | None = None
    """Penalty of a failure in steps, for --target paper; default: the length of the task's longest episode, which
    puts failures at -1 everywhere."""
    outcome_column: str | None = None
    """How the episodes ended: a key of meta/episodes.jsonl or a column (success, failure, timeout, or 1 and 0).
    Time-outs are bootstrapped: their targets follow from the model's own value of their last frame."""
    outcome_file: Path | None = None
    """The same from a .json, .jsonl or .csv file of episodes and outcomes."""
    bootstrap_interval: int = 100
    """Steps between looks at the last frames of time-outs; without time-outs it has no effect."""
    train_episodes: str | None = None
    """Episodes to train on, such as 0-25,30; default: all that are not held out."""
    val_episodes: str | None = None
    """Episodes to hold out, such as 26-31."""
    val_fraction: float = 0.1
    """Share of episodes to hold out when neither --val_episodes nor --val_data_dir is given."""
    train_ratio: float | None = None
    """Share of episodes to train on, such as 0.8; with the next two it replaces --val_fraction. Outcomes and tasks
    keep their shares in every part, and split.json says who is where."""
    val_ratio: float | None = None
    """Share of episodes to validate on, such as 0.1."""
    test_ratio: float | None = None
    """Share of episodes that training never looks at, for `pistar-vf eval`, such as 0.1."""
    split_seed: int = 42
    """Decides which episodes --train_ratio, --val_ratio and --test_ratio draw."""
    val_max_frames: int = 2_048
    """Frames per validation, evenly spaced over the held-out episodes."""
    image_size: int | None = None
    """Side of the model's square images, pixels; what is left behind the last whole patch of 14 is not read. Default:
    the vision tower's own."""
    image_fit: Literal["pad", "stretch"] = "pad"
    """How pictures become square: black borders (as openpi) or stretched."""
    max_token_len: int = 48
    """Longest prompt, tokens; a longer one is an error."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute dtype; auto: bfloat16 on accelerators, float32 on CPU. Parameters stay float32."""
    remat: bool = False
    """Recompute activations in the backward pass: less memory, about a third more compute."""
    augment: bool = True
    """Random crop, rotation and colour jitter, on the accelerator."""
    state_noise: float = 0.0
    """Standard deviation of the noise added to the normalised state in training."""
    ema_decay: float = 0.99
    """Decay of the moving average of the weights that validation and relabelling use."""
    weight_decay: float = 1e-10
    """AdamW's decoupled weight decay."""
    max_to_keep: int | None = None
    """Newest checkpoints to keep; default: all. The best one is kept besides."""
    cache_dir: Path | None = None
    """Where decoded frames are kept; default $PISTAR_VF_CACHE or ~/.cache/pistar_vf."""

    @property
    def data_dirs(self) -> tuple[str, ...]:
        """The datasets to train on, always as a tuple."""
        return self.data_dir if isinstance(self.data_dir, tuple) else (self.data_dir,)

    @property
    def lora(self) -> LoraConfig | None:
        """The adapters' part of the settings; None without adapters."""
        if self.lora_rank == 0:
            return None
        return LoraConfig(self.lora_rank, self.lora_alpha, self.lora_dropout, self.lora_targets)

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
