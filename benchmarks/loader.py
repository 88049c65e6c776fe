"""Batches per second of our loader and of grain over the same memory map.

python benchmarks/loader.py [--frames 4000] [--size 224] [--batch_size 32] [--batches 200] [--num_workers 2]
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pistar_vf.frames.loader import FrameTable, TrainOrder, train_batches
from pistar_vf.lerobot.dataset import Episode
from pistar_vf.lerobot.episode_rows import EpisodeRows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("frames", 4_000), ("size", 224), ("batch_size", 32), ("batches", 200), ("num_workers", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = create_table(Path(folder), args.frames, args.size)
        rows = EpisodeRows((Episode(0, args.frames, 0, (), Path(), {}),))
        order = TrainOrder(rows, args.batch_size, seed=0)
        ours = rate(train_batches(table, order, 0, args.num_workers), args.batches, args.batch_size)
        print(f"pistar_vf  {ours:10.0f} frames/s")
        batches = grain_batches(table, args.batch_size, args.num_workers)
        if batches is None:
            print("grain      not installed")
            return
        theirs = rate(batches, args.batches, args.batch_size)
        print(f"grain      {theirs:10.0f} frames/s   pistar_vf / grain = {ours / theirs:.2f}")


def create_table(folder: Path, frames: int, size: int) -> FrameTable:
    """Random pictures of one camera on disk."""
    rng = np.random.default_rng(0)
    pixels = np.memmap(folder / "frames.u8", np.uint8, mode="w+", shape=(frames, size, size, 3))
    for frame in pixels:
        frame[:] = rng.integers(0, 256, frame.shape, np.uint8)
    return FrameTable(
        cameras={"base_0_rgb": pixels},
        image_size=size,
        labels=np.zeros(frames, np.float32),
        prompt_index=np.zeros(frames, np.int32),
        tokens=np.ones((1, 48), np.int32),
        token_mask=np.ones((1, 48), bool),
    )


def grain_batches(table: FrameTable, batch_size: int, num_threads: int) -> Iterable | None:
    """The same frames through grain's shuffle, batch and read-ahead threads; None where grain is not installed."""
    try:
        import grain.python as grain
    except ImportError:
        return None

    class Source:
        def __len__(self) -> int:
            return len(table.labels)

        def __getitem__(self, row: int) -> dict[str, np.ndarray]:
            return {
                "image": np.asarray(table.cameras["base_0_rgb"][row]),
                "tokens": table.tokens[table.prompt_index[row]],
                "target": table.labels[row],
            }

    dataset = grain.MapDataset.source(Source()).shuffle(seed=0).repeat().batch(batch_size)
    return dataset.to_iter_dataset(grain.ReadOptions(num_threads=max(1, num_threads)))


def rate(batches: Iterable, count: int, batch_size: int) -> float:
    """Frames per second after a warm-up of 10 batches."""
    iterator = iter(batches)
    for _ in itertools.islice(iterator, 10):
        pass
    start = time.perf_counter()
    for _ in itertools.islice(iterator, count):
        pass
    return count * batch_size / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
