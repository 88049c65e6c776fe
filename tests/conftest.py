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


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labelled episodes of the synthetic robot, 48-pixel pictures; read-only."""
    from pistar_vf.data.labelled_copy import write_labelled_copy
    from pistar_vf.data.lerobot import load_lerobot
    from pistar_vf.data.outcomes import read_outcomes
    from pistar_vf.testing.demo_dataset import write_demo_dataset

    folder = tmp_path_factory.mktemp("tiny")
    dataset = load_lerobot(write_demo_dataset(folder / "raw", num_episodes=6, image_size=48))
    outcomes = read_outcomes(dataset, outcome_column="outcome")
    return write_labelled_copy(dataset, folder / "labelled", outcomes, timeout_as="failure", progress=False)


@pytest.fixture(scope="session")
def frame_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's decoded frames are kept."""
    return tmp_path_factory.mktemp("frame_cache")


@pytest.fixture(scope="session")
def fast_compilation_session():
    """Leaves out XLA's optimisations: half the compile time."""
