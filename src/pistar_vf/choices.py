"""The words that a setting may take. Nothing is imported here, so that settings can name them without loading JAX."""

from typing import Literal, TypeAlias

Architecture: TypeAlias = Literal["pistar", "stitched"]
StateEncoding: TypeAlias = Literal["token", "none"]
ImageFit: TypeAlias = Literal["pad", "stretch"]
LabelEncoding: TypeAlias = Literal["two_hot", "one_hot"]
TargetRule: TypeAlias = Literal["dataset", "episode_ramp", "paper"]
TimeoutAs: TypeAlias = Literal["bootstrap", "failure", "success"]
FreezeMode: TypeAlias = Literal["none", "siglip_only", "all_backbones", "all_but_projector"]
ComputeDtype: TypeAlias = Literal["auto", "float32", "bfloat16"]
StorageDtype: TypeAlias = Literal["float32", "bfloat16"]
PretrainedSource: TypeAlias = Literal["bundle", "base", "huggingface", "checkpoint"]
TargetLayout: TypeAlias = Literal["checkpoint", "bundle", "base", "huggingface", "safetensors"]
VqaTemplate: TypeAlias = Literal["plain", "gemma-chat"]
WandbMode: TypeAlias = Literal["online", "offline", "disabled"]
PartName: TypeAlias = Literal["test", "val", "train", "all"]
OutcomeRule: TypeAlias = Literal["last", "any"]
RolloutSource: TypeAlias = Literal["lerobot_eval", "lerobot_dagger"]
Ensemble: TypeAlias = Literal["mean", "worst"]
Estimator: TypeAlias = Literal["n_step", "monte_carlo", "gae"]
ExportTarget: TypeAlias = Literal["prompts", "rlinf", "rabc", "weights"]
PromptStyle: TypeAlias = Literal["comma", "line"]
