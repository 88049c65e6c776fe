"""Settings of questions about pictures: where they are, how they are read, and how much they count."""

import dataclasses
from pathlib import Path

from pistar_vf.choices import VqaTemplate


@dataclasses.dataclass(frozen=True)
class VqaSettings:
    """Where questions and answers are, and how they are read.

    Attributes:
        data: a file, a folder, or the name of a dataset in the local Hugging Face cache.
        subset: folder of it, such as The Cauldron's "vqav2".
        image_dir: where the pictures of a JSON file are; None for beside it.
        template: of question and answer, see `AnswerEncoder`.
        max_token_len: tokens of a question with its answer.
        val_fraction: share of the pictures to hold out.
    """

    data: str
    subset: str | None = None
    image_dir: Path | None = None
    template: str = "plain"
    max_token_len: int = 128
    val_fraction: float = 0.05


@dataclasses.dataclass(frozen=True)
class QuestionSettings:
    """Questions about pictures to train on besides; none without --vqa_data."""

    vqa_data: str | None = None
    """Question-answer data to train on besides: a file, a folder, a name in the Hugging Face cache, or
    hf://<owner>/<name>[@<revision>], which is downloaded."""
    vqa_subset: str | None = None
    """Folder of the question-answer data, such as vqav2."""
    vqa_image_dir: Path | None = None
    """Where the pictures of a JSON file are; default: beside it."""
    vqa_template: VqaTemplate = "plain"
    """How questions and answers become text; gemma-chat for checkpoints that were tuned to chat (-it)."""
    vqa_max_token_len: int = 128
    """Longest question with its answer, tokens; longer ones are left out and counted."""
    vqa_val_fraction: float = 0.05
    """Share of the pictures whose questions are held out."""
    vqa_ratio: float = 0.25
    """Questions per frame in a step."""
    vqa_weight: float = 0.1
    """Weight of the language loss: value loss + weight * language loss."""

    @property
    def vqa(self) -> VqaSettings | None:
        """The data; None for none."""
        if self.vqa_data is None:
            return None
        return VqaSettings(
            data=self.vqa_data,
            subset=self.vqa_subset,
            image_dir=self.vqa_image_dir,
            template=self.vqa_template,
            max_token_len=self.vqa_max_token_len,
            val_fraction=self.vqa_val_fraction,
        )


@dataclasses.dataclass(frozen=True)
class AlignmentQuestions:
    """The questions about pictures that stage 1 trains on."""

    dataset_name: str = "HuggingFaceM4/the_cauldron"
    """Questions about pictures: a folder (parquet or arrow files of The Cauldron's layout), a LLaVA .json, a .jsonl, or
    a name in the local Hugging Face cache; hf://<owner>/<name>[@<revision>] is downloaded."""
    cauldron_subset: str | None = None
    """Folder of the dataset, such as vqav2."""
    image_dir: Path | None = None
    """Where the pictures of a JSON file are; default: beside it."""
    template: VqaTemplate | None = None
    """How questions and answers become text. Default: gemma-chat, as Gemma 3 270M-it was tuned to; plain for
    gemma3_tiny."""
    max_token_len: int = 128
    """Longest question with its answer, tokens; longer ones are left out and counted."""
    val_fraction: float = 0.05
    """Share of the pictures whose questions are held out."""
    val_max_questions: int = 512
    """Questions per validation, evenly spaced over the held-out ones."""

    def vqa(self, gemma_variant: str) -> VqaSettings:
        """The data, in the template that belongs to the language model."""
        return VqaSettings(
            data=self.dataset_name,
            subset=self.cauldron_subset,
            image_dir=self.image_dir,
            template=self.template or ("plain" if gemma_variant == "gemma3_tiny" else "gemma-chat"),
            max_token_len=self.max_token_len,
            val_fraction=self.val_fraction,
        )
