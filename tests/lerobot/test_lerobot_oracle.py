"""LeRobot itself as the oracle: it reads what we write, and we read what it writes.

LeRobot 0.3.3 is the last that reads v2.1, 0.4.4 reads v3.0; each tests its own half. Both want a torch of their own
and exclude each other, so they are in no set of constraints: without them these tests are skipped.
"""

from pathlib import Path

import numpy as np
import pytest
from support.folders import native_frame

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

lerobot = pytest.importorskip(
    "lerobot.datasets.lerobot_dataset",
    reason="compares with LeRobot: install lerobot==0.3.3 (for v2.1) or lerobot==0.4.4 (for v3.0), and torchvision",
    exc_type=ImportError,
)

CAMERA = "observation.images.front"
LENGTHS = (5, 7, 4)
FPS = 10


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf_cache")


def _frames(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 255, (LENGTHS[i], 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)


def _state(i: int) -> np.ndarray:
    return np.random.default_rng(10 + i).normal(size=(LENGTHS[i], 3)).astype(np.float32)


def _in_version(version: str, folder: Path) -> LeRobotDataset:
    """Our dataset after one conversion (v3.0) or two (v2.1)."""
    episodes = [EpisodeData({"observation.state": _state(i)}, {CAMERA: _frames(i)}, f"task {i % 2}") for i in range(3)]
    dataset = load_lerobot(write_lerobot_v21(folder / "v21", episodes, fps=FPS))
    dataset = load_lerobot(convert_dataset(dataset, folder / "v30", progress=False))
    if version == "v2.1":
        dataset = load_lerobot(convert_dataset(dataset, folder / "back", progress=False))
    return dataset


def _assert_same_items(theirs, ours: LeRobotDataset) -> None:
    """Every row: state, prompt and picture; the picture up to rounding in the conversion of colours."""
    assert len(theirs) == ours.num_frames == sum(LENGTHS)
    state, prompts = ours.read_column("observation.state"), ours.prompt_index()
    for row in range(ours.num_frames):
        item, episode = theirs[row], ours.episode_of(row)
        assert item["episode_index"].item() == episode.index
        np.testing.assert_array_equal(item["observation.state"].numpy(), state[row])
        assert item["task"] == ours.prompts[prompts[row]]
        clip = ours.video_clip(episode, CAMERA)
        frame = native_frame(clip.path, row - episode.start, ours.fps, start_seconds=clip.start_seconds)
        np.testing.assert_allclose(item[CAMERA].permute(1, 2, 0).numpy() * 255, frame, atol=2)


def test_lerobot_reads_what_we_converted(tmp_path):
    ours = _in_version(lerobot.CODEBASE_VERSION, tmp_path)
    theirs = lerobot.LeRobotDataset("local/toy", root=ours.root, video_backend="pyav")
    _assert_same_items(theirs, ours)
    for key, kinds in theirs.meta.stats.items():
        assert np.isfinite(kinds["mean"]).all(), key


def test_we_read_what_lerobot_wrote(tmp_path):
    """Recorded with LeRobot's own writer, and read back after a conversion there and back."""
    features = {
        "observation.state": {"dtype": "float32", "shape": (3,), "names": None},
        CAMERA: {"dtype": "video", "shape": (64, 64, 3), "names": ["height", "width", "channels"]},
    }
    theirs = lerobot.LeRobotDataset.create("local/toy", FPS, features, root=tmp_path / "theirs", video_backend="pyav")
    for i, length in enumerate(LENGTHS):
        for t in range(length):
            frame = {"observation.state": _state(i)[t], CAMERA: _frames(i)[t]}
            if lerobot.CODEBASE_VERSION == "v2.1":
                theirs.add_frame(frame, f"task {i % 2}")
            else:
                theirs.add_frame(frame | {"task": f"task {i % 2}"})
        theirs.save_episode()
    if hasattr(theirs, "finalize"):
        theirs.finalize()
    ours = load_lerobot(tmp_path / "theirs")
    _assert_same_items(lerobot.LeRobotDataset("local/toy", root=ours.root, video_backend="pyav"), ours)
    other = load_lerobot(convert_dataset(ours, tmp_path / "other", progress=False))
    back = load_lerobot(convert_dataset(other, tmp_path / "again", progress=False))
    _assert_same_items(lerobot.LeRobotDataset("local/toy", root=back.root, video_backend="pyav"), back)
