"""Small datasets of three episodes whose labels are worked out by hand."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.returns import Outcome
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

CAMERA = "observation.images.front"
LENGTHS = (4, 5, 3)
OUTCOMES = {0: Outcome.SUCCESS, 1: Outcome.FAILURE, 2: Outcome.SUCCESS}
VALUES = [-0.75, -0.5, -0.25, 0, -1, -1, -1, -1, -1, -2 / 3, -1 / 3, 0]


def episode(length: int, columns: dict | None = None, **metadata) -> EpisodeData:
    state = np.arange(length * 2, dtype=np.float32).reshape(length, 2)
    frames = np.full((length, 16, 16, 3), 90, np.uint8)
    return EpisodeData({"observation.state": state, **(columns or {})}, {CAMERA: frames}, "push", metadata)


def write(path: Path, columns: list[dict] | None = None, metadata: list[dict] | None = None) -> LeRobotDataset:
    episodes = [
        episode(length, (columns or [{}] * 3)[i], **(metadata or [{}] * 3)[i]) for i, length in enumerate(LENGTHS)
    ]
    return load_lerobot(write_lerobot_v21(path, episodes, fps=10, codec="mpeg4"))


def in_frames(source: Path, path: Path, low: float) -> Path:
    """A copy of a labelled v2.1 dataset whose labels count frames: 0, -1, -2 … backwards, `low` in failures."""
    shutil.copytree(source, path, symlinks=True)
    for file in (path / "data").rglob("*.parquet"):
        table = pq.read_table(file)
        failed = table["value_label"][-1].as_py() < 0
        values = np.full(len(table), low) if failed else -np.arange(len(table))[::-1]
        place = table.column_names.index("value_label")
        pq.write_table(table.set_column(place, "value_label", pa.array(values, pa.float32())), file)
    return path


def flags(*values: list) -> list[dict]:
    """One column `flag` per episode."""
    return [{"flag": np.array(value)} for value in values]


def write_unlabelled(path: Path) -> LeRobotDataset:
    """The outcomes in `episodes.jsonl`, and the operator driving in frames 1 and 2 of each."""
    intervention = [{"intervention": np.array([0, 1, 1, 0, 0][:length], np.int64)} for length in LENGTHS]
    return write(path, intervention, [{"outcome": str(OUTCOMES[index])} for index in range(3)])


def label(dataset: LeRobotDataset, output: Path, **options) -> LeRobotDataset:
    outcomes = options.pop("outcomes", OUTCOMES)
    return load_lerobot(write_labelled_copy(dataset, output, outcomes, progress=False, **options))
