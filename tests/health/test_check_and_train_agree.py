"""`check` finds an error exactly where the preparation of a training stops, whatever the damage and the layout."""

import re
import shutil
from pathlib import Path

import pytest
from support.damages import CAMERA, DAMAGES
from support.folders import contents
from support.labelled_sets import label, write_unlabelled

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.errors import DatasetError, PistarError
from pistar_vf.health import check_dataset
from pistar_vf.recipes.prepare import prepare_data
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
