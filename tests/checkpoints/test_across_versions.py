"""A checkpoint written with one set of versions is restored, and trained further, with another.

PISTAR_VF_OTHER_PYTHON is the interpreter of an environment with other versions, such as the `.venv/bin/python` beside
`.venv-openpi`; the oracle is what the writer itself predicts.
"""

import os
import shutil
import subprocess

import numpy as np
import pytest
from support.other_installation import predicted_values, train
from support.places import SUPPORT, environment

from pistar_vf.checkpoints.layout import step_name

pytestmark = pytest.mark.usefixtures("small_and_fast")

PROGRAM = SUPPORT / "other_installation.py"


@pytest.fixture(scope="module")
def there():
    """Runs a command under the other interpreter."""
    python = os.environ.get("PISTAR_VF_OTHER_PYTHON")
    if not python:
        pytest.skip("set PISTAR_VF_OTHER_PYTHON to the interpreter of an environment with other versions")
    # A compilation cache of both would be one of programs that only one of them can read.
    own = {name: value for name, value in environment().items() if not name.startswith("JAX_COMPILATION_CACHE")}

    def run(*words):
        subprocess.run([python, PROGRAM, *map(str, words)], check=True, env=own)

    return run


@pytest.fixture(scope="module")
def written_there(there, tiny_dataset, frame_cache_dir, tmp_path_factory):
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("there") / "run"
    there("train", tiny_dataset, folder, frame_cache_dir, 2)
    return folder


def test_ours_is_restored_there(there, trained_run, tmp_path):
    there("predict", trained_run.checkpoint, tmp_path / "values.npy")
    np.testing.assert_allclose(np.load(tmp_path / "values.npy"), predicted_values(trained_run.checkpoint), atol=1e-5)


def test_theirs_is_restored_here(there, written_there, tmp_path):
    there("predict", written_there, tmp_path / "values.npy")
    np.testing.assert_allclose(predicted_values(written_there), np.load(tmp_path / "values.npy"), atol=1e-5)


def test_ours_is_trained_further_there(there, tiny_dataset, frame_cache_dir, tmp_path):
    folder = tmp_path / "run"
    train(str(tiny_dataset), str(folder), str(frame_cache_dir), "2")
    there("train", tiny_dataset, folder, frame_cache_dir, 4)
    assert np.isfinite(predicted_values(folder / step_name(4))).all()


def test_theirs_is_trained_further_here(written_there, tiny_dataset, frame_cache_dir, tmp_path):
    folder = shutil.copytree(written_there, tmp_path / "run")
    train(str(tiny_dataset), str(folder), str(frame_cache_dir), "4")
    assert np.isfinite(predicted_values(folder / step_name(4))).all()
