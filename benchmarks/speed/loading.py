"""Part `loading`: shuffled frames of a LeRobot v3.0 dataset, from our caches and from LeRobot's own dataset."""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.frames.cache import open_frame_cache
from pistar_vf.frames.loader import FrameTable, TrainOrder, train_batches
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.testing.demo_dataset import write_demo_dataset
from speed.timing import Program, in_turn

_BATCH = 32


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data_dir", type=Path, help="a LeRobot v3.0 dataset; default: one of the synthetic robot")
    parser.add_argument("--size", type=int, default=224, help="side of the model's pictures, pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lerobot_batches", type=int, default=4, help=f"batches of {_BATCH} per round")


def measure(data_dir: Path | None, size: int, rounds: int, lerobot_batches: int) -> dict[str, Any]:
    """Pictures per processor second of each way to the same shuffled batches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = load_lerobot(data_dir or _synthetic(folder, size))
        cameras = dataset.camera_keys
        programs = {
            "warm": _warm(dataset, folder, size),
            "cold": _cold(dataset, folder, size),
            "lerobot": _lerobot(dataset.root, cameras, size, lerobot_batches),
        }
        times = in_turn(programs, rounds)
    ways = ("warm", "cold")
    return {
        "cameras": len(cameras),
        "size": size,
        **times.facts(),
        "pictures_per_processor_second": {name: 1 / times.median(name) for name in programs},
        "over_lerobot": {name: times.ratio("lerobot", name) for name in ways},
    }


def _synthetic(folder: Path, size: int) -> Path:
    raw = load_lerobot(write_demo_dataset(folder / "v21", num_episodes=8, image_size=size))
    return convert_dataset(raw, folder / "v30", progress=False)


def _warm(dataset: LeRobotDataset, folder: Path, size: int, batches: int = 100) -> Program:
    """Training batches from the frame cache, gathered by threads; the unit is a picture."""
    frames = {
        key: open_frame_cache(dataset, key, size=size, fit="pad", cache_dir=folder / "warm", num_workers=0)
        for key in dataset.camera_keys
    }
    count = dataset.num_frames
    table = FrameTable(
        cameras=dict(frames),
        image_size=size,
        labels=np.zeros(count, np.float32),
        prompt_index=dataset.prompt_index(),
        tokens=np.ones((len(dataset.prompts), 48), np.int32),
        token_mask=np.ones((len(dataset.prompts), 48), bool),
    )
    order = TrainOrder(EpisodeRows(dataset.episodes), _BATCH, seed=0)
    endless = train_batches(table, order, 0, num_workers=2)
    return lambda: _drawn(endless, batches) * len(frames)


def _cold(dataset: LeRobotDataset, folder: Path, size: int) -> Program:
    """The frame cache being built, as in the first epoch; the unit is a picture."""

    def run() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            for key in dataset.camera_keys:
                open_frame_cache(
                    dataset, key, size=size, fit="pad", cache_dir=Path(fresh), num_workers=0, progress=False
                )
        return dataset.num_frames * len(dataset.camera_keys)

    return run


def _lerobot(root: Path, cameras: tuple[str, ...], size: int, batches: int) -> Program:
    """LeRobot's dataset behind PyTorch's loader, resized where the model needs it; the unit is a picture."""
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset as Theirs

    theirs = Theirs(f"local/{root.name}", root=root, video_backend="pyav")
    loader = torch.utils.data.DataLoader(theirs, batch_size=_BATCH, shuffle=True, num_workers=0)

    def resized(batch: dict[str, Any]) -> int:
        for key in cameras:
            pictures = batch[key]
            if pictures.shape[-2:] != (size, size):
                torch.nn.functional.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
        return len(batch["index"]) * len(cameras)

    def endless() -> Iterator[dict[str, Any]]:
        while True:
            yield from loader

    drawn = endless()
    return lambda: sum(resized(batch) for batch in itertools.islice(drawn, batches))


def _drawn(batches: Iterator[Any], count: int) -> int:
    return sum(len(batch.frame) for batch in itertools.islice(batches, count))
