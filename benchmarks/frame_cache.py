"""How fast frames are decoded into the cache, and read back from it, for any LeRobot dataset.

python benchmarks/frame_cache.py DATA_DIR [--camera KEY] [--size 224] [--episodes 8]
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np

from pistar_vf.frames.cache import open_frame_cache
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot

BATCH_SIZE = 32
NUM_BATCHES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="a LeRobot v2.1 dataset")
    parser.add_argument("--camera", help="feature key of the camera; default: the first one")
    parser.add_argument("--size", type=int, default=224, help="side of the cached frames, pixels")
    parser.add_argument("--episodes", type=int, default=8, help="how many episodes to decode")
    args = parser.parse_args()

    dataset = first_episodes(load_lerobot(args.data_dir), args.episodes)
    camera = args.camera or dataset.camera_keys[0]
    print(f"{dataset.name}, {camera}: {len(dataset.episodes)} episodes, {dataset.num_frames} frames, size {args.size}")
    single = decode_rate(dataset, camera, args.size, num_workers=1)
    print(f"decode, 1 worker   {single:10.0f} frames/s")
    double = decode_rate(dataset, camera, args.size, num_workers=2)
    print(f"decode, 2 workers  {double:10.0f} frames/s   {double / single:6.2f} x 1 worker")
    cached = read_rate(dataset, camera, args.size)
    print(f"cached, batches    {cached:10.0f} frames/s   {cached / double:6.2f} x decoding with 2 workers")


def first_episodes(dataset: LeRobotDataset, count: int) -> LeRobotDataset:
    episodes = dataset.episodes[:count]
    return dataclasses.replace(dataset, episodes=episodes, num_frames=sum(episode.length for episode in episodes))


def decode_rate(dataset: LeRobotDataset, camera: str, size: int, *, num_workers: int) -> float:
    """Frames per second of a fresh cache, starting the processes and syncing the disk included."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        open_frame_cache(dataset, camera, size=size, fit="pad", cache_dir=Path(folder), num_workers=num_workers)
        return dataset.num_frames / (time.perf_counter() - start)


def read_rate(dataset: LeRobotDataset, camera: str, size: int) -> float:
    """Frames per second of random batches, the operating system's cache warm."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        frames = open_frame_cache(dataset, camera, size=size, fit="pad", cache_dir=Path(folder))
        batches = rng.integers(dataset.num_frames, size=(NUM_BATCHES, BATCH_SIZE))
        start = time.perf_counter()
        for rows in batches:
            _ = frames[rows]  # fancy indexing copies the pixels
        return NUM_BATCHES * BATCH_SIZE / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
