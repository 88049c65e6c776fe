"""From episodes to values and labels with the library's own commands: label, train by folds, gate, relabel."""

import ast
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pistar_vf.checkpoints.folds import fold_checkpoints
from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.choices import Ensemble
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes.folds import run_folds
from pistar_vf.recipes.label import run_label
from pistar_vf.recipes.label_config import LabelConfig
from pistar_vf.recipes.presets import find_preset
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.read import read_rollouts
from pistar_vf.relabel.run import run_relabel
from pistar_vf.typing import Bool, Float
from simulated.labels import Units

TAG = "metaworld"
_SEED = 42


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How V is learned."""

    preset: str = "tiny"
    """Of `pistar-vf train`."""
    target: str = "paper"
    """Of `pistar-vf label`."""
    folds: int = 2
    """Models, each without a share of the episodes."""
    repeats: int = 2
    """How often all folds are trained, with other seeds and other folds; the first one's labels are "ours"."""
    num_train_steps: int = 1_400
    """Updates of each model."""
    batch_size: int = 16
    """Half of the preset's, to be done in minutes."""
    flags: tuple[str, ...] = ()
    """Further settings of the training, such as state_noise=1.0."""

    def settings(self, repeat: int) -> dict[str, Any]:
        """Of one repeat's training; nothing is validated, as folds are scored by their last checkpoints.

        Raises:
            ValueError: a flag is not a name and a value.
        """
        own = {name: ast.literal_eval(value) for name, value in (flag.split("=", 1) for flag in self.flags)}
        return {
            "num_train_steps": self.num_train_steps,
            "batch_size": self.batch_size,
            "folds": self.folds,
            "seed": _SEED + repeat,
            "split_seed": _SEED + repeat,
            "val_interval": 0,
            "save_interval": self.num_train_steps // 2,
            "max_to_keep": 1,
            **own,
        }


@dataclasses.dataclass(frozen=True)
class Scored:
    """What relabelling made of a dataset.

    Attributes:
        value: of every frame.
        positive: of every frame.
        gate: the verdict.
    """

    value: Float[np.ndarray, " t"]
    positive: Bool[np.ndarray, " t"]
    gate: str

    def write(self, path: Path) -> None:
        """As an .npz file."""
        np.savez_compressed(path, value=self.value, positive=self.positive, gate=np.array(self.gate))

    @classmethod
    def read(cls, path: Path) -> "Scored":
        """What `write` wrote."""
        with np.load(path) as file:
            return cls(file["value"], file["positive"], str(file["gate"]))


def label(data: Path, folder: Path, recipe: Recipe) -> None:
    """`pistar-vf label`, into `folder/dataset`."""
    shutil.rmtree(folder / "dataset", ignore_errors=True)  # of a call that was stopped
    run_label(
        LabelConfig(
            data_dir=data / "dataset",
            output_dir=folder / "dataset",
            outcome_column="outcome",
            target=recipe.target,
        )
    )


def train(labelled: Path, folder: Path, cache: Path, recipe: Recipe, repeat: int) -> None:
    """`pistar-vf train --folds`, into `folder/folds`; a fold that was stopped goes on."""
    places = {"data_dir": str(labelled / "dataset"), "checkpoint_dir": folder / "folds", "cache_dir": cache}
    run_folds(find_preset(recipe.preset).replace(**places, **recipe.settings(repeat)))


def score(
    labelled: Path,
    trained: tuple[Path, ...],
    folder: Path,
    cache: Path,
    *,
    lookahead: int | None,
    ensemble: Ensemble | None,
) -> None:
    """`pistar-vf relabel --output sidecar --force`, the gate included, into `folder/scored.npz`."""
    sidecar = folder / "sidecar"
    shutil.rmtree(sidecar, ignore_errors=True)  # of a call that was stopped
    result = run_relabel(
        RelabelConfig.of(
            data_dir=str(labelled / "dataset"),
            checkpoint_dir=tuple(own / "folds" for own in trained),
            cache_dir=cache,
            output_dir=sidecar,
            output="sidecar",
            sidecar_tag=TAG,
            report_dir=folder / "report",
            lookahead=lookahead,
            ensemble=ensemble,
            force=True,
        )
    )
    table = pq.read_table(sidecar / "meta" / f"advantages_{TAG}.parquet")
    verdict = str(result.gate.verdict)
    criteria = ", ".join(result.gate.named(result.gate.verdict))
    Scored(
        value=table["value"].to_numpy().astype(np.float32),
        positive=table["advantage"].to_numpy(zero_copy_only=False),
        gate=verdict if result.gate.passed else f"{verdict}: {criteria}",
    ).write(folder / "scored.npz")


def read_units(labelled: Path, trained: Path) -> Units:
    """Rewards and targets of a dataset in the units of a model."""
    spec = load_value_spec(fold_checkpoints(trained / "folds")[0])
    rollouts = read_rollouts(load_lerobot(labelled / "dataset"), spec)
    return Units(rollouts.reward, rollouts.target)
