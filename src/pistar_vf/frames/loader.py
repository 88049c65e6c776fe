"""From arrays on disk to batches on the host: vectorised gathering and a deterministic, resumable order."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from pistar_vf.batch import Observation, ValueBatch
from pistar_vf.errors import DatasetError
from pistar_vf.frames.gather_ahead import gather_ahead
from pistar_vf.frames.shuffle import interleaved, shuffled
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.lerobot.episode_rows import EpisodeRows


@runtime_checkable
class Frames(Protocol):
    """What batches are gathered from: a `FrameTable`, or several as one."""

    @property
    def labels(self) -> np.ndarray:
        """Value labels [n] float32."""

    @property
    def state_statistics(self) -> StateStatistics | None:
        """How the robot state is normalised, None for a model without state."""

    def gather(self, rows: np.ndarray) -> ValueBatch:
        """The frames at `rows`; -1 is padding."""


@dataclasses.dataclass(frozen=True)
class FrameTable:
    """Every frame of one dataset, column by column; row i is frame i of all episodes in order.

    Attributes:
        cameras: model-side camera name to pixels [n, h, w, 3] uint8 (a memory map), or None for a camera that the
            model knows and this dataset lacks.
        image_size: side of the pictures, pixels.
        labels: value labels [n] float32.
        prompt_index: [n] int32 into `tokens`.
        tokens: tokenised prompts [prompts, l] int32.
        token_mask: [prompts, l] bool.
        state: raw robot state [n, s] float32, None for a model without state.
        state_statistics: how to normalise it.
        opened: [n], frames whose pictures and state are here; None for all. Of the others they are 0.
    """

    cameras: dict[str, np.ndarray | None]
    image_size: int
    labels: np.ndarray
    prompt_index: np.ndarray
    tokens: np.ndarray
    token_mask: np.ndarray
    state: np.ndarray | None = None
    state_statistics: StateStatistics | None = None
    opened: np.ndarray | None = None

    def gather(self, rows: np.ndarray) -> ValueBatch:
        """The frames at `rows`; a row of -1 is padding and repeats frame 0 with `frame` = -1."""
        real = np.maximum(rows, 0)
        assert self.opened is None or self.opened[rows[rows >= 0]].all(), "frames of episodes that were not opened"
        prompt = self.prompt_index[real]
        observation = Observation(
            images={name: self._pixels(pixels, real) for name, pixels in self.cameras.items()},
            image_masks={name: np.full(len(rows), pixels is not None) for name, pixels in self.cameras.items()},
            tokenized_prompt=self.tokens[prompt],
            tokenized_prompt_mask=self.token_mask[prompt],
            state=None if self.state is None else self._normalised(self.state[real]),
        )
        return ValueBatch(observation=observation, target=self.labels[real], frame=rows.astype(np.int32))

    def without_light(self, camera: str) -> "FrameTable":
        """The same frames with black pictures of one camera, which is not masked: as if its lens were covered."""
        pixels = self.cameras[camera]
        assert pixels is not None, "a camera that is missing has no pictures to blacken"
        black = np.broadcast_to(np.zeros((1, *pixels.shape[1:]), np.uint8), pixels.shape)
        return dataclasses.replace(self, cameras={**self.cameras, camera: black})

    def take(self, rows: np.ndarray) -> "FrameTable":
        """The frames at `rows` as a table of their own, in memory."""
        cameras = {name: None if frames is None else np.asarray(frames[rows]) for name, frames in self.cameras.items()}
        labels, prompt_index = self.labels[rows], self.prompt_index[rows]
        state = None if self.state is None else self.state[rows]
        return dataclasses.replace(
            self, cameras=cameras, labels=labels, prompt_index=prompt_index, state=state, opened=None
        )

    @classmethod
    def concatenate(cls, tables: Sequence["FrameTable"]) -> "FrameTable":
        """Tables of the same dataset that `take` made, one after the other."""
        first = tables[0]
        cameras = {
            name: None if frames is None else np.concatenate([table.cameras[name] for table in tables])
            for name, frames in first.cameras.items()
        }
        state = None if first.state is None else np.concatenate([table.state for table in tables])
        labels, prompt_index = (
            np.concatenate([getattr(t, name) for t in tables]) for name in ("labels", "prompt_index")
        )
        return dataclasses.replace(first, cameras=cameras, labels=labels, prompt_index=prompt_index, state=state)

    def _normalised(self, state: np.ndarray) -> np.ndarray:
        assert self.state_statistics is not None, "a table with a state knows how to normalise it"
        return self.state_statistics.normalise(state)

    def _pixels(self, pixels: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        if pixels is None:
            return np.zeros((len(rows), self.image_size, self.image_size, 3), np.uint8)
        return np.asarray(pixels[rows])


@dataclasses.dataclass(frozen=True)
class TrainOrder:
    """Which rows make up batch number i: endless shuffled epochs, cut into batches.

    Attributes:
        rows: the training frames.
        batch_size: global batch size.
        seed: decides every epoch's order.
        process_index, process_count: this process takes its own equal share of every batch.
    """

    rows: EpisodeRows
    batch_size: int
    seed: int
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self) -> None:
        if len(self.rows) == 0:
            raise DatasetError("there are no training frames: every episode is held out or the dataset is empty")

    def batch_rows(self, batch_number: int) -> np.ndarray:
        """Dataset rows of this process's share of a batch."""
        share = self.batch_size // self.process_count
        first = batch_number * self.batch_size + self.process_index * share
        return self.rows_at(np.arange(first, first + share))

    def rows_at(self, position: np.ndarray) -> np.ndarray:
        """Dataset rows of positions in the endless sequence."""
        return self.rows.at(shuffled(position, len(self.rows), self.seed))


@dataclasses.dataclass(frozen=True)
class MixtureOrder(TrainOrder):
    """The same for several datasets in given shares of every batch, each of them shuffled on its own.

    Attributes:
        parts: the training frames of each dataset; `rows` are all of them.
        weights: share of each dataset, above 0, in any unit.
    """

    parts: tuple[EpisodeRows, ...] = ()
    weights: tuple[float, ...] = ()

    def rows_at(self, position: np.ndarray) -> np.ndarray:
        """Dataset rows of positions in the endless sequence."""
        stream, own = interleaved(position, self.weights)
        result = np.empty_like(own)
        for number, rows in enumerate(self.parts):
            mine = stream == number
            result[mine] = rows.at(shuffled(own[mine], len(rows), self.seed + number))
        return result


def train_batches(table: Frames, order: TrainOrder, first_batch: int, num_workers: int) -> Iterator[ValueBatch]:
    """Endless training batches from batch number `first_batch` on, gathered ahead by threads.

    Args:
        table: the frames.
        order: which rows are in which batch; the position to save is the batch number alone.
        first_batch: number of the first batch to yield.
        num_workers: threads that gather; 0 gathers in the caller. Copying from a memory map releases the
            interpreter, so threads suffice and nothing is pickled.
    """
    rows = (order.batch_rows(number) for number in itertools.count(first_batch))
    return gather_ahead(table.gather, rows, num_workers)


def eval_batches(
    table: Frames,
    rows: np.ndarray,
    batch_size: int,
    num_workers: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[ValueBatch]:
    """Every row once and in order, the last batch padded to full size so that nothing recompiles."""
    padded = np.full(-(-len(rows) // batch_size) * batch_size, -1, np.int64)
    padded[: len(rows)] = rows
    share = batch_size // process_count
    parts = (
        padded[start + process_index * share : start + (process_index + 1) * share]
        for start in range(0, len(padded), batch_size)
    )
    return gather_ahead(table.gather, parts, num_workers)
