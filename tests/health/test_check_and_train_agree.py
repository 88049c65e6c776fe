"""`check` finds an error exactly where the preparation of a training stops, whatever the damage and the layout."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.damages import CAMERA, DAMAGES
from support.folders import contents
from support.labelled_sets import label, write_unlabelled

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.errors import DatasetError, PistarError
from pistar_vf.health import check_dataset
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes.prepare import prepare_data
from pistar_vf.returns import Outcome
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21
from pistar_vf.testing.tiny import tiny_train_config

HARMLESS = {
    "nothing",
    "info: utf-16",
    "info: fps as text",
    "info: fps of another recorder",
    "info: version without v",
    "info: chunks_size null",
    "info: total_frames null",
    "camera: shape null",
    "a feature without a column",
    "tasks: number as text",
    "tasks: number as float",
    "tasks: a longer prompt",
    "episodes: tasks null",
    "episodes: tasks a string",
    "episodes: length as float",
    "episodes: index as text",
    "rows: no index",
    "rows: no index in one file",
    "rows: a null among the rewards",
    "rows: no advantage",
    "rows: task as decimal",
    "rows: no timestamp",
    "rows: no frame_index",
    "rows: task as float",
    "rows: frames as float",
    "rows: index wrong",
    "rows: null index",
    "info: a byte-order mark",
    "rows: times of the day",
    "rows: jitter",
    "rows: reward not a number",
    "rows: intervention bool",
    "rows: a nested column",
}
"""Both go through; everything else stops both."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sound")
    v21 = label(write_unlabelled(folder / "raw"), folder / "v21")
    return {"v2.1": v21.root, "v3.0": convert_dataset(v21, folder / "v30", progress=False)}


def _errors_of_check(root: Path) -> list[str]:
    try:
        report = check_dataset(root, progress=False)
    except DatasetError as error:
        return [str(error)]
    return [f"{f.key or ''} {f.file or ''} {f.problem}" for f in report.findings if f.severity == "error"]


def _error_of_train(root: Path, folder: Path) -> str | None:
    config = tiny_train_config(root, folder / "run", cache_dir=folder / "cache", image_size=14, val_fraction=0.0)
    try:
        prepare_data(config)
    except PistarError as error:
        return str(error)
    return None


def _subjects(text: str) -> set[str]:
    """What a message is about: files, columns and keys."""
    return set(re.findall(r"[\w.]*(?:info\.json|tasks\.\w+|episodes\b|\.parquet|\.mp4)", text)) | {
        word
        for word in (
            "camera",
            "prompt",
            "task_index",
            "state",
            "frame_index",
            "episode_index",
            "timestamp",
            "reward_label",
            "value_label",
            "intervention",
            CAMERA,
            "fps",
            "tasks",
        )
        if word in text
    }


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("name", DAMAGES)
def test_they_agree(sound, tmp_path, name, version):
    root = Path(shutil.copytree(sound[version], tmp_path / "set"))
    DAMAGES[name](root)
    assert (contents(root) == contents(sound[version])) == (name == "nothing")  # the damage was done
    found, stopped = _errors_of_check(root), _error_of_train(root, tmp_path)
    assert (stopped is None) == (not found), f"check: {found}; train: {stopped}"
    assert (stopped is None) == (name in HARMLESS), stopped
    if stopped is not None:
        assert any(_subjects(error) & _subjects(stopped) for error in found), f"check: {found}; train: {stopped}"
        assert "None" not in stopped


MESSAGES = {
    "rows: state in words": r"column 'observation.state': expected numbers, got object such as '\[0.0, 1.0\]'; pass",
    "rows: times in words": r"episode 0, column 'timestamp': expected one number per frame, got object of shape \(4,\)",
    "rows: times of the calendar": r"column 'timestamp': expected one number per frame, got datetime64\[us\]",
    "rows: intervention of the calendar": r"'intervention': expected one type in all files, got datetime64\[us\]",
    "rows: null reward label": r"episode 0, frame 0: expected a finite reward label, got nan",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_said_of_columns_of_another_type(sound, tmp_path, name):
    root = Path(shutil.copytree(sound["v2.1"], tmp_path / "set"))
    DAMAGES[name](root)
    assert re.search(MESSAGES[name], _error_of_train(root, tmp_path) or "")


def test_pictures_in_the_tables_need_no_times(tmp_path):
    """Rows in order are enough: `check` warns, as LeRobot wants them."""
    frames = {CAMERA: np.full((4, 16, 16, 3), 90, np.uint8)}
    episodes = [EpisodeData({"observation.state": np.ones((4, 2), np.float32) * i}, frames, "push") for i in (1, 2)]
    raw = write_lerobot_v21(tmp_path / "raw", episodes, fps=10, storage="image")
    outcomes = {0: Outcome.SUCCESS, 1: Outcome.FAILURE}
    root = label(load_lerobot(raw), tmp_path / "set", outcomes=outcomes).root
    DAMAGES["rows: times in words"](root)
    assert (_errors_of_check(root), _error_of_train(root, tmp_path)) == ([], None)
    assert ("warning", "timestamp") in {(f.severity, f.key) for f in check_dataset(root, progress=False).findings}
