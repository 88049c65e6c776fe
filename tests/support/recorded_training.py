"""What every step of a run was trained on, and when what decides its targets was looked at."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pistar_vf.recipes import run
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.training import engine
from pistar_vf.training.loop import train_loop


@dataclasses.dataclass
class Recording:
    """Rows and targets of every step, and every look: (steps done before it, values)."""

    rows: list[np.ndarray]
    targets: list[np.ndarray]
    looks: list[tuple[int, np.ndarray]]


def train_recorded(config: TrainConfig, looking: type) -> tuple[Path, Recording]:
    """Trains; `looking` is what `recipes.run` calls by its name, and whose `use` puts values in force."""
    recording = Recording([], [], [])

    def loop(state, frozen, step, batches, *rest):
        def noted():
            for batch in batches:
                recording.rows.append(batch.frame)
                recording.targets.append(batch.target)
                yield batch

        return train_loop(state, frozen, step, noted(), *rest)

    class Noted(looking):
        def use(self, values):
            super().use(values)
            recording.looks.append((len(recording.rows), values))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "train_loop", loop)
        patch.setattr(run, looking.__name__, Noted)
        return run.run_training(config), recording
