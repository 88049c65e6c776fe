"""Fixtures shared by the whole suite."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

_BESIDE_THE_REPO = Path(__file__).resolve().parents[2] / "shared" / "data" / "g1_bottle_v21"

# Compiling takes most of the suite's time; programs compiled once are kept between runs, workers and subprocesses.
# Not with JAX 0.5: a program read back from its cache gives wrong numbers (docs/failures.md).
if not version("jax").startswith("0.5."):
    _cache = Path(__file__).resolve().parents[1] / ".pytest_cache" / "xla"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
# Broadcasting that adds an axis hides mistakes between "[b]" and "[b, 1]"; the library writes its axes out.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")


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
def tiny_dataset_v30(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_dataset` in the v3.0 layout; read-only."""
    from pistar_vf.data.convert_dataset import convert_dataset
    from pistar_vf.data.lerobot import load_lerobot

    return convert_dataset(load_lerobot(tiny_dataset), tmp_path_factory.mktemp("tiny_v30") / "v30", progress=False)


@pytest.fixture(scope="session")
def frame_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's decoded frames are kept."""
    return tmp_path_factory.mktemp("frame_cache")


def _unchecked(function):
    """Without jaxtyping's checks: while lowering, JAX fills our dataclasses with descriptions of arrays."""
    import jaxtyping

    def call(*args):
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            return function(*args)
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)

    return call


@contextlib.contextmanager
def _small_and_fast() -> Iterator[None]:
    import jax

    from pistar_vf.models import gemma3, siglip
    from pistar_vf.testing.tiny import tiny_model_config
    from pistar_vf.training import run

    small = tiny_model_config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(siglip.VARIANTS, "tiny/14", small.siglip)
        patch.setitem(gemma3.VARIANTS, "gemma3_tiny", dataclasses.replace(small.gemma, vocab_size=512))
        patch.setattr(run._Run, "_compile", _unchecked(run._Run._compile))
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def trainable() -> Iterator[None]:
    """Lets `run_training` compile at full speed, without the checks that lowering cannot stand."""
    from pistar_vf.training import run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run._Run, "_compile", _unchecked(run._Run._compile))
        yield


@pytest.fixture(scope="module")
def small_and_fast() -> Iterator[None]:
    """Shrinks the tiny variants further and leaves out XLA's optimisations: a run then compiles in seconds."""
    with _small_and_fast():
        yield


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A finished run: its settings, its last checkpoint and the dataset rows of each batch."""

    config: object
    checkpoint: Path
    rows: list[np.ndarray]


@pytest.fixture(scope="session")
def trained_run(tiny_dataset: Path, frame_cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Four steps with checkpoints and validation after two and four; read-only."""
    from pistar_vf.testing.tiny import tiny_train_config
    from pistar_vf.training import run

    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    config = tiny_train_config(tiny_dataset, folder, cache_dir=frame_cache_dir, val_interval=2)
    rows: list[np.ndarray] = []
    with _small_and_fast(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "train_loop", recording(run.train_loop, rows))
        checkpoint = run.run_training(config)
    return TrainedRun(config, checkpoint, rows)


def recording(train_loop, rows: list[np.ndarray]):
    """`train_loop` that notes which dataset rows every step saw."""

    def loop(*args):
        for result in train_loop(*args):
            rows.append(result.frame.copy())
            yield result

    return loop
