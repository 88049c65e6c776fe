"""Fixtures shared by the whole suite."""

import os
from pathlib import Path

import pytest

_BESIDE_THE_REPO = Path(__file__).resolve().parents[2] / "shared" / "data" / "g1_bottle_v21"


@pytest.fixture(scope="session")
def g1_dataset_path() -> Path:
    """A real LeRobot v2.1 dataset (32 episodes of a Unitree G1); skips where it is absent."""
    path = Path(os.environ.get("PISTAR_VF_TEST_DATA", _BESIDE_THE_REPO))
    if not (path / "meta" / "info.json").is_file():
        pytest.skip(f"the real test dataset is not here ({path}); set PISTAR_VF_TEST_DATA to its folder")
    return path
