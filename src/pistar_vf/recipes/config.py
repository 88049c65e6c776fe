"""The settings of the two recipes, composed of blocks; every field of a block is a flag."""

import dataclasses
from pathlib import Path

from pistar_vf.frames.settings import DataSettings, InputSettings
from pistar_vf.labels.settings import LabelSettings, SplitSettings
from pistar_vf.models.settings import ModelSettings, ValueModelSettings
from pistar_vf.questions.settings import AlignmentQuestions, QuestionSettings, VqaSettings
from pistar_vf.settings import Composed
from pistar_vf.training.settings import (
    AugmentSettings,
    DeviceSettings,
    OptimizerSettings,
    RunSettings,
    ValueRunSettings,
    WandbSettings,
)
from pistar_vf.weights.settings import PretrainedSettings, StartSettings


@dataclasses.dataclass(frozen=True)
class TrainConfig(Composed):
    """Train a value model on a labelled LeRobot dataset."""

    data: DataSettings
    run: ValueRunSettings
    labels: LabelSettings = LabelSettings()
    split: SplitSettings = SplitSettings()
    inputs: InputSettings = InputSettings()
    model: ValueModelSettings = ValueModelSettings()
    start: StartSettings = StartSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    augmentation: AugmentSettings = AugmentSettings()
    questions: QuestionSettings = QuestionSettings()
    devices: DeviceSettings = DeviceSettings()
    wandb: WandbSettings = WandbSettings()


@dataclasses.dataclass(frozen=True)
class AlignmentConfig(Composed):
    """Stage 1: train the projector between vision tower and language model on questions about pictures.

    The loss is the next-token loss of the answers; everything but the projector is frozen. The projector with the
    lowest validation loss becomes best_projector.safetensors and, for torch, best_projector.pt; stage 2 starts from
    either (--projector_path).
    """

    questions: AlignmentQuestions = AlignmentQuestions()
    run: RunSettings = RunSettings(Path("outputs_alignment"), num_train_steps=5_000, val_interval=500, max_to_keep=1)
    model: ModelSettings = ModelSettings(siglip_variant="So400m/14-384")
    start: PretrainedSettings = PretrainedSettings()
    optimizer: OptimizerSettings = OptimizerSettings(
        freeze_mode="all_but_projector", peak_lr=1e-3, decay_lr=1e-5, weight_decay=0.0
    )
    devices: DeviceSettings = DeviceSettings()
    wandb: WandbSettings = WandbSettings()

    @property
    def vqa(self) -> VqaSettings:
        """The questions, in the template that belongs to the language model."""
        return self.questions.vqa(self.model.gemma_variant)
