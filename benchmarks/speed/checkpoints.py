"""Part `checkpoints`: size, saving and reading of full-size checkpoints, whole and slim."""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from pistar_vf.checkpoints.frozen_part import FrozenPart, read_checkpoint
from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.training.copies import Copies, Copy
from pistar_vf.training.optimizer import create_optimizer, is_trainable
from pistar_vf.training.settings import OptimizerSettings
from pistar_vf.training.state import create_state, split_params
from speed.full_model import full_config, random_params

_MIB = 2**20


class _NoBest:
    def forget_later(self, step: int) -> bool:
        return False

    def write(self, best: Copy) -> None: ...

    def check(self) -> None: ...

    def close(self) -> None: ...


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; default: a temporary one")


def measure(folder: Path | None) -> dict[str, Any]:
    """Of `--checkpoint_params full` and `trainable`, with frozen backbones; the second save is measured."""
    config = full_config()
    params = random_params(config)
    found = {}
    for name in ("full", "trainable"):
        with tempfile.TemporaryDirectory(dir=folder) as own:
            found[name] = _saved(Path(own), config, params, slim=name == "trainable")
            print(name, found[name], flush=True)
    return {**found, "size_ratio": found["trainable"]["mib"] / found["full"]["mib"]}


def _saved(root: Path, config: Any, params: Any, *, slim: bool) -> dict[str, float]:
    tx = create_optimizer(OptimizerSettings(), 1_000)
    own, frozen = split_params(params, "all_backbones")
    part = FrozenPart(root, lambda name: is_trainable(name, "all_backbones")) if slim else None
    manager = CheckpointManager(root, None, b"", frozen_part=part)
    copies = Copies(manager, frozen, _NoBest(), dict)
    state = create_state(own, tx)
    copies.save(state)
    manager.wait()  # what is frozen is written now, once, where checkpoints are slim
    started, processor = time.perf_counter(), time.process_time()
    copies.save(state.replace(step=state.step + 1))
    stall = time.perf_counter() - started
    copies.close()
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    shapes = ValueFunction(config).shapes()
    reading = time.perf_counter()
    jax.block_until_ready(read_checkpoint(manager.path(1), {"ema_params": shapes}))
    size = sum(path.stat().st_size for path in manager.path(1).rglob("*") if path.is_file())
    shutil.rmtree(root / "train_state")
    return {
        "mib": size / _MIB,
        "stall_seconds": stall,
        "save_seconds": seconds,
        "save_processor_seconds": processor,
        "read_ema_seconds": time.perf_counter() - reading,
    }
