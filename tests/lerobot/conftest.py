"""A sound dataset of three episodes in either layout, to be damaged."""

import shutil
from pathlib import Path

import pytest
from support.labelled_sets import write_unlabelled

from pistar_vf.curation.convert_dataset import convert_dataset


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, Path]:
    """Layout to folder; read-only."""
    folder = tmp_path_factory.mktemp("sound")
    dataset = write_unlabelled(folder / "v21")
    return {"v2.1": dataset.root, "v3.0": convert_dataset(dataset, folder / "v30", progress=False)}


@pytest.fixture(params=["v2.1", "v3.0"])
def root(request, sound, tmp_path) -> Path:
    """A copy of one of them."""
    return Path(shutil.copytree(sound[request.param], tmp_path / "set"))
