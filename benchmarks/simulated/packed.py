"""Episodes in a form that travels to another machine: pictures of 64 px in one video per camera, and the truth."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.typing import UInt8
from simulated.truth import Truth

SIDE = 64
TRUTH = "truth.npz"
_CODEC = {"crf": "12", "preset": "slow"}


def pack(data: Path, folder: Path) -> None:
    """Writes what `read` reads, of a `data_…` folder of `metaworld.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(data / TRUTH, folder / TRUTH)
    dataset = load_lerobot(data / "dataset")
    for camera in dataset.video_keys:
        paths = [dataset.video_path(episode, camera) for episode in dataset.episodes]
        with picture_writer(folder / f"{camera}.mp4") as add:
            for path in paths:
                for frame in _frames(path):
                    add(frame)


def read(folders: Sequence[Path]) -> tuple[Truth, UInt8[np.ndarray, "t cameras 64 64 3"]]:
    """The episodes of all folders, one after the other; cameras in the order of their names."""
    truth, pixels = joined([Truth.read(folder / TRUTH) for folder in folders]), []
    for folder in folders:
        videos = [np.stack([np.asarray(f) for f in _frames(path)]) for path in sorted(folder.glob("*.mp4"))]
        pixels.append(np.stack(videos, axis=1))
    return truth, np.concatenate(pixels)


def joined(truths: Sequence[Truth]) -> Truth:
    """All episodes as one dataset; the tasks are the same in each."""
    first, *others = truths
    for other in others:
        assert other.tasks.tolist() == first.tasks.tolist()
    names = [field.name for field in dataclasses.fields(Truth) if field.name != "tasks"]
    return Truth(tasks=first.tasks, **{name: np.concatenate([getattr(t, name) for t in truths]) for name in names})


def _frames(path: Path) -> Iterator[Image.Image]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_image()


@contextlib.contextmanager
def picture_writer(path: Path) -> Iterator[Callable[[Image.Image], None]]:
    """One video, and what adds a picture of any size to it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options=_CODEC)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv444p"

        def add(picture: Image.Image) -> None:
            small = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            container.mux(stream.encode(av.VideoFrame.from_image(small)))

        yield add
        container.mux(stream.encode())
