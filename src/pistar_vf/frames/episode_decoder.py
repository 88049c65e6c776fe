"""Decoding whole episodes, here or in a pool of processes; imports no JAX, so that processes start fast."""

import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from jaxtyping import Float  # not from pistar_vf.typing: decoding processes must not import JAX

from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.frame_numbers import is_number_per_frame
from pistar_vf.lerobot.parquet import open_parquet, row_groups_of
from pistar_vf.video.decoding import decode_image, decode_video

TIME_COLUMN = "timestamp"
_IMAGE_ROWS_AT_ONCE = 32


def decode_episode(
    dataset: LeRobotDataset,
    episode: Episode,
    camera_key: str,
    *,
    size: int,
    fit: str,
    times: Float[np.ndarray, " t"] | None = None,
) -> Iterator[np.ndarray]:
    """Decodes one camera of one episode, from video or from an image column.

    Args:
        dataset: the dataset.
        episode: one of its episodes.
        camera_key: one of its cameras.
        size: side of the square frames, pixels.
        fit: "pad" or "stretch", see `pistar_vf.video.decoding.resize_frame`.
        times: of the frames, seconds; None reads them from the table, where it has them.

    Yields:
        uint8 [size, size, 3], `episode.length` of them.

    Raises:
        VideoError: the frames cannot be decoded or do not match the table.
        DatasetError: the table cannot be read.
    """
    context = f"episode {episode.index}, camera {camera_key}"
    if dataset.features[camera_key]["dtype"] == "image":
        yield from _decode_image_column(dataset, episode, camera_key, size, fit, context)
        return
    if times is None and TIME_COLUMN in dataset.columns:
        times = dataset.read_column(TIME_COLUMN, [episode])
    if times is not None and not is_number_per_frame(times):
        raise DatasetError(
            f"{episode.parquet}: episode {episode.index}, column '{TIME_COLUMN}': expected one number per frame, got "
            f"{times.dtype} of shape {times.shape}; `pistar-vf repair` writes frame_index / fps"
        )
    clip = dataset.video_clip(episode, camera_key)
    yield from decode_video(
        clip.path,
        size=size,
        fit=fit,
        num_frames=episode.length,
        fps=dataset.fps,
        context=context,
        timestamps=times,
        start_seconds=clip.start_seconds,
        end_seconds=clip.end_seconds,
    )


def _decode_image_column(
    dataset: LeRobotDataset, episode: Episode, camera_key: str, size: int, fit: str, context: str
) -> Iterator[np.ndarray]:
    with open_parquet(episode.parquet) as file:
        groups, (offset,) = row_groups_of(file, [(episode.first_row, episode.length)])
        row = episode.first_row - offset  # of the batch's first
        end = episode.first_row + episode.length
        for batch in file.iter_batches(_IMAGE_ROWS_AT_ONCE, row_groups=groups, columns=[camera_key]):
            skipped = max(0, episode.first_row - row)
            for i, value in enumerate(batch.column(0)[skipped : max(0, end - row)].to_pylist(), start=row + skipped):
                where = f"{context}: {episode.parquet}: row {i}"
                yield decode_image(value or {}, size=size, fit=fit, root=dataset.root, context=where)
            row += len(batch)


@dataclasses.dataclass(frozen=True)
class DecodeJob:
    """Decodes the one episode of `dataset` into its rows of a file of frames; `times` as in `decode_episode`."""

    dataset: LeRobotDataset
    camera_key: str
    size: int
    fit: str
    frames_path: Path
    times: Float[np.ndarray, " t"] | None = None

    @property
    def episode(self) -> Episode:
        return self.dataset.episodes[0]

    def run(self) -> None:
        # Written through the file, not a mapping: a full disk is then an OSError instead of a SIGBUS.
        with self.frames_path.open("r+b", buffering=1 << 22) as frames:
            frames.seek(self.episode.start * self.size * self.size * 3)
            what = (self.dataset, self.episode, self.camera_key)
            for frame in decode_episode(*what, size=self.size, fit=self.fit, times=self.times):
                frames.write(frame.data)
            frames.flush()
            os.fsync(frames.fileno())


def run_jobs(jobs: list[DecodeJob], num_workers: int) -> Generator[tuple[Episode, DatasetError | None], None, None]:
    """Yields every episode as it is finished, with its error if the dataset is at fault; other errors are raised.

    Args:
        jobs: what to decode.
        num_workers: processes, 0 for this one.
    """
    if num_workers == 0:
        for job in jobs:
            yield job.episode, _error_of(job.run)
        return
    # Spawned, not forked: forking a process that has started JAX can deadlock.
    pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        episodes = {pool.submit(job.run): job.episode for job in jobs}
        for future in as_completed(episodes):
            yield episodes[future], _error_of(future.result)
    finally:
        pool.shutdown(cancel_futures=True)


def _error_of(call: Callable[[], None]) -> DatasetError | None:
    try:
        call()
    except DatasetError as error:
        return error
    except BrokenProcessPool as error:
        raise ConfigError(
            "expected the decoding processes to live, got one that was killed, most often for want of memory; pass "
            "fewer with --num_workers and run the command again: what was decoded is kept"
        ) from error
    return None


def _start_worker() -> None:
    """Leaves Ctrl-C to the parent, and ends this process when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only spawned processes follow one"
    parent.join()
    os._exit(1)
