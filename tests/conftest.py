"""Fixtures shared by the whole suite."""

import contextlib
import ctypes
import dataclasses
import gc
import os
import resource
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from support.hub_stand_in import hub  # noqa: F401
from support.opened_tables import opened  # noqa: F401
from support.small_runs import recording, unchecked
from support.small_runs import small_and_fast as shrunk

_BESIDE_THE_REPO = Path(__file__).resolve().parents[2] / "shared" / "data" / "g1_bottle_v21"

# Compiling takes most of the suite's time; programs compiled once are kept between runs, workers and subprocesses.
# Not with JAX 0.5: a program read back from its cache gives wrong numbers (docs/failures.md).
if not version("jax").startswith("0.5."):
    _cache = Path(__file__).resolve().parents[1] / ".pytest_cache" / "xla"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# scikit-learn's threads wait for each other by spinning: beside a second worker they take longer than one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Broadcasting that adds an axis hides mistakes between "[b]" and "[b, 1]"; the library writes its axes out.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")


@pytest.fixture(autouse=True, scope="module")
def forget_programs() -> Iterator[None]:
    """Compiled programs of a module are dropped with it: kept for the whole session, they fill gigabytes."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()
        # glibc keeps what is freed, a third of a gigabyte after some modules; other libraries have no such call.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


_peaks: list[float] = []
"""Highest memory use of every worker, GiB."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["peak_gib"] = peak
    else:
        _peaks.append(peak)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    _peaks.append(getattr(node, "workeroutput", {}).get("peak_gib", float("nan")))


def pytest_terminal_summary(terminalreporter) -> None:
    shown = ", ".join(f"{peak:.1f}" for peak in _peaks)
    terminalreporter.write_line(f"peak memory of the test processes: {shown} GiB")


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
    from pistar_vf.curation.labelled_copy import write_labelled_copy
    from pistar_vf.labels.outcomes import read_outcomes
    from pistar_vf.lerobot.dataset import load_lerobot
    from pistar_vf.testing.demo_dataset import write_demo_dataset

    folder = tmp_path_factory.mktemp("tiny")
    dataset = load_lerobot(write_demo_dataset(folder / "raw", num_episodes=6, image_size=48))
    outcomes = read_outcomes(dataset, outcome_column="outcome")
    return write_labelled_copy(dataset, folder / "labelled", outcomes, timeout_as="failure", progress=False)


@pytest.fixture(scope="session")
def tiny_dataset_v30(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_dataset` in the v3.0 layout; read-only."""
    from pistar_vf.curation.convert_dataset import convert_dataset
    from pistar_vf.lerobot.dataset import load_lerobot

    return convert_dataset(load_lerobot(tiny_dataset), tmp_path_factory.mktemp("tiny_v30") / "v30", progress=False)


@pytest.fixture(scope="session")
def frame_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's decoded frames are kept."""
    return tmp_path_factory.mktemp("frame_cache")


@pytest.fixture(scope="module")
def trainable() -> Iterator[None]:
    """Lets `run_training` compile at full speed, without the checks that lowering cannot stand."""
    from pistar_vf.training import engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "compile_step", unchecked(engine.compile_step))
        yield


@pytest.fixture(scope="module")
def small_and_fast() -> Iterator[None]:
    """Shrinks the tiny variants further and leaves out XLA's optimisations: a run then compiles in seconds."""
    with shrunk():
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
    from pistar_vf.recipes import run
    from pistar_vf.testing.tiny import tiny_train_config
    from pistar_vf.training import engine

    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    config = tiny_train_config(tiny_dataset, folder, cache_dir=frame_cache_dir, val_interval=2)
    rows: list[np.ndarray] = []
    with shrunk(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "train_loop", recording(engine.train_loop, rows))
        checkpoint = run.run_training(config)
    return TrainedRun(config, checkpoint, rows)
