"""What is in a folder: files, packets of videos, decoded frames; and folders that nothing may be written to."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from pistar_vf.frames.cache import open_frame_cache
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.video.decoding import clip_frames, shown_pixels


def contents(root: Path) -> dict[str, bytes]:
    """Every file but the control folder's, by its path."""
    files = (path for path in root.rglob("*") if path.is_file() and ".pistar_vf" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def packets(*paths: Path) -> list[bytes]:
    """The packets of videos, one video after the other."""
    found = []
    for path in paths:
        with av.open(str(path)) as container:
            found += [bytes(packet) for packet in container.demux(video=0) if packet.size]
    return found


def decoded(dataset: LeRobotDataset, key: str, cache_dir: Path) -> np.ndarray:
    """Every frame of a camera, 24 pixels wide."""
    look = {"size": 24, "fit": "pad", "cache_dir": cache_dir}
    return np.array(open_frame_cache(dataset, key, **look, num_workers=0, progress=False))


def native_frame(video: Path, frame_index: int, fps: float, start_seconds: float = 0.0) -> np.ndarray:
    """One frame of a clip at its own size."""
    _, frame = next(clip_frames(video, "x", start_seconds + frame_index / fps, None, fps))
    return shown_pixels(frame, "x")


def unsuitable_outputs(dataset: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Places where no copy of a dataset may go, each with what is said about it."""
    full, link = folder / "full", folder / "link"
    full.mkdir()
    (full / "precious").write_text("data")
    link.symlink_to(folder / "elsewhere")
    yield full, "new or empty output folder, got .*full, which exists"
    yield full / "precious", "new or empty output folder"
    yield link, "new folder to write to, got the symlink .*link"
    yield dataset, f"outside the dataset .*{dataset.name}"
    yield dataset / "out", f"outside the dataset .*{dataset.name}"
