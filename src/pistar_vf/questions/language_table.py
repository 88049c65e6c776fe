"""Batches of pictures with questions and answers, in a deterministic order that resumes from the batch number."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pistar_vf.batch import LanguageBatch
from pistar_vf.frames.gather_ahead import gather_ahead
from pistar_vf.questions.answer_encoder import AnswerEncoder
from pistar_vf.questions.record_index import RecordIndex
from pistar_vf.questions.sample import VqaSource
from pistar_vf.questions.window_order import WindowOrder
from pistar_vf.typing import Int, UInt8
from pistar_vf.video.decoding import check_fit, decode_image


@dataclasses.dataclass(frozen=True)
class LanguageTable:
    """The records of a source as a model reads them.

    Attributes:
        source: where pictures and texts come from.
        index: which of them are used.
        encoder: of questions and answers.
        cameras: the model's cameras; the first shows the picture, the others are masked.
        image_size: side of the model's images, pixels.
        image_fit: "pad" or "stretch", see `resize_frame`.
    """

    source: VqaSource
    index: RecordIndex
    encoder: AnswerEncoder
    cameras: tuple[str, ...]
    image_size: int
    image_fit: str = "pad"

    def __post_init__(self) -> None:
        check_fit(self.image_fit)

    @property
    def train_records(self) -> Int[np.ndarray, " n"]:
        """Records to train on, ascending."""
        return np.flatnonzero(~self.index.held_out)

    @property
    def val_records(self) -> Int[np.ndarray, " n"]:
        """Records held out, ascending."""
        return np.flatnonzero(self.index.held_out)

    def gather(self, records: Int[np.ndarray, " b"]) -> LanguageBatch:
        """Reads, decodes and tokenises; a record of -1 is padding, which repeats record 0 without any loss.

        Raises:
            DatasetError: a picture is missing or cannot be decoded.
        """
        real = np.maximum(records, 0)
        samples = self.source.read(self.index.sample[real])
        turns = [sample.turns[turn] for sample, turn in zip(samples, self.index.turn[real].tolist())]
        tokens, token_mask, loss_mask = self.encoder.encode(*zip(*turns))
        pixels = np.stack([self._decode(sample.image, sample.where) for sample in samples])
        masked = np.zeros_like(pixels) if len(self.cameras) > 1 else pixels
        return LanguageBatch(
            images={name: pixels if i == 0 else masked for i, name in enumerate(self.cameras)},
            image_masks={name: np.full(len(records), i == 0) for i, name in enumerate(self.cameras)},
            tokens=tokens,
            token_mask=token_mask,
            loss_mask=loss_mask & (records >= 0)[:, None],
            index=records.astype(np.int32),
        )

    def _decode(self, image: Mapping[str, object] | None, where: str) -> UInt8[np.ndarray, "h w 3"]:
        return decode_image(image or {}, size=self.image_size, fit=self.image_fit, root=Path(), context=where)


class LanguageOrder:
    """Which records make up batch number i: endless shuffled epochs of the training records, cut into batches."""

    def __init__(
        self, table: LanguageTable, batch_size: int, *, seed: int, process_index: int = 0, process_count: int = 1
    ):
        """Nothing is read.

        Args:
            table: the records.
            batch_size: global batch size.
            seed: decides every epoch's order.
            process_index: of this process, which takes its own equal share of every batch.
            process_count: number of processes.
        """
        self._records = table.train_records
        ends = np.searchsorted(table.index.sample[self._records], table.source.block_starts)
        block_sizes = np.diff(ends, append=len(self._records))
        self._order = WindowOrder(block_sizes, table.source.blocks_per_window, seed)
        self._share, self._batch_size = batch_size // process_count, batch_size
        self._offset = process_index * self._share

    def batch_records(self, batch_number: int) -> Int[np.ndarray, " b"]:
        """Records of this process's share of a batch."""
        first = batch_number * self._batch_size + self._offset
        return self._records[self._order.at(np.arange(first, first + self._share))]


def train_language_batches(
    table: LanguageTable, order: LanguageOrder, first_batch: int, num_workers: int
) -> Iterator[LanguageBatch]:
    """Endless training batches from batch number `first_batch` on, read and decoded ahead.

    Args:
        table: the records.
        order: which records are in which batch; the position to save is the batch number alone.
        first_batch: number of the first batch to yield.
        num_workers: threads; 0 works in the caller. Reading, decoding and scaling all release the interpreter.
    """
    return gather_ahead(table.gather, map(order.batch_records, itertools.count(first_batch)), num_workers)


def eval_language_batches(
    table: LanguageTable, records: Int[np.ndarray, " n"], batch_size: int, num_workers: int
) -> Iterator[LanguageBatch]:
    """Every record once and in order, the last batch padded to full size so that nothing recompiles."""
    padded = np.full(-(-len(records) // batch_size) * batch_size, -1, np.int64)
    padded[: len(records)] = records
    return gather_ahead(table.gather, iter(padded.reshape(-1, batch_size)), num_workers)
