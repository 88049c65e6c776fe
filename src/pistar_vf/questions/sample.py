"""What every kind of question-answer data is read as: pictures, each with its questions."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.typing import Int


@dataclasses.dataclass(frozen=True)
class Sample:
    """One picture and what is asked about it.

    Attributes:
        turns: (question, answer) without white space around them; either may be empty. No turns are read of a sample
            that does not have exactly one picture.
        num_images: pictures of the sample; only samples with one are used.
        image_name: the same for samples that are known to share a picture.
        where: file and row, for errors.
        image: LeRobot's struct of `bytes` and `path`; None where only the text was read.
    """

    turns: tuple[tuple[str, str], ...]
    num_images: int
    image_name: str
    where: str
    image: Mapping[str, object] | None = None


@runtime_checkable
class VqaSource(Protocol):
    """Samples on disk, numbered from 0.

    Attributes:
        path: what was opened.
        block_starts: first sample of each block; the samples of one block are read together.
        blocks_per_window: how many blocks stay in memory; samples are shuffled among them.
    """

    path: Path
    block_starts: np.ndarray
    blocks_per_window: int

    def __len__(self) -> int:
        """Number of samples."""

    def scan(self) -> Iterator[Sample]:
        """Every sample in order, without its picture."""

    def read(self, samples: Int[np.ndarray, " b"]) -> list[Sample]:
        """Some samples with their pictures, still encoded; may be called by several threads."""


def read_text(fields: object, key: str, where: str) -> str:
    """A text of a sample, without the white space around it.

    Raises:
        DatasetError: it is missing or no text.
    """
    text = fields.get(key) if isinstance(fields, Mapping) else None
    if not isinstance(text, str):
        raise DatasetError(f"{where}: expected a text in '{key}', got {text!r}; correct or remove it")
    return text.strip()
