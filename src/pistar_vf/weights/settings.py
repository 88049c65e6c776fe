"""Settings of the start: which weights a run begins with."""

import dataclasses
from pathlib import Path
from typing import Literal

from pistar_vf.choices import PretrainedSource


@dataclasses.dataclass(frozen=True)
class PretrainedSettings:
    """The weights to start from."""

    pretrained_source: PretrainedSource | None = None
    """Weights to start from, see docs/weights.md. bundle: the value model of the VLM bundle ($OPENPI_VLM_CKPT_DIR,
    default ~/Downloads/vlm_ckpt). base: the bundle's SigLIP 2 and Gemma 3, with everything else fresh. huggingface: the
    same two from Hugging Face folders. checkpoint: a checkpoint of this library or of upstream."""
    pretrained_path: tuple[Path, ...] = ()
    """Where the weights are: two paths for huggingface, one for checkpoint; bundle and base have places of their
    own."""
    allow_random_towers: bool = False
    """Begin although frozen towers are random, to try a machine: the values mean nothing, and every checkpoint says
    so."""

    @property
    def source(self) -> PretrainedSource | None:
        """Where pretrained weights come from; None to start at random."""
        return self.pretrained_source


@dataclasses.dataclass(frozen=True)
class StartSettings(PretrainedSettings):
    """The weights to start from."""

    load_pretrained: bool = False
    """Start from pretrained weights; alone: --pretrained_source bundle."""
    pretrained_key: Literal["params", "ema_params"] = "params"
    """Which of the two trees of a value model to start from."""
    allow_uninformative_tower: bool = False
    """Start even from a value model whose vision tower carries no information (an img/head of zeros)."""
    projector_path: Path | None = None
    """A projector from stage 1 (`best_projector.safetensors` or `.pt`), or one of torch's (`.pt`), to start from."""

    @property
    def source(self) -> PretrainedSource | None:
        """Where pretrained weights come from; None to start at random."""
        return self.pretrained_source or ("bundle" if self.load_pretrained else None)
