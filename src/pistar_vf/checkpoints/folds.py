"""A folder of folds: models of one dataset, each trained without a share of the episodes that the others saw.

<folder>/folds.json                 how the folds were drawn
<folder>/fold_0 … fold_<K-1>        training directories
"""

import dataclasses
import json
from pathlib import Path

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.checkpoints.layout import FOLD_FOLDER, complete_steps, step_name
from pistar_vf.errors import CheckpointError
from pistar_vf.foreign_files import read_object

FOLDS_FILE = "folds.json"


@dataclasses.dataclass(frozen=True)
class FoldPlan:
    """How the folds of a folder were drawn, and when each is finished.

    Attributes:
        data_dirs: the datasets, as the run was given them.
        num_folds: K, at least 2.
        seed: of the draw.
        num_train_steps: of each fold.
    """

    data_dirs: tuple[str, ...]
    num_folds: int
    seed: int
    num_train_steps: int

    @classmethod
    def read(cls, folder: Path) -> "FoldPlan | None":
        """Of a folder of folds; None for any other folder.

        Raises:
            CheckpointError: the file is damaged.
        """
        path = Path(folder).expanduser() / FOLDS_FILE
        if not path.is_file():
            return None
        facts = read_object(path, "the plan of folds", CheckpointError)
        try:
            return cls(**{**facts, "data_dirs": tuple(facts["data_dirs"])})
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: expected the plan of folds, got other keys ({error})") from error

    def write(self, folder: Path) -> None:
        """Into a folder, which is made where it is missing; whole or not at all."""
        write_whole(folder / FOLDS_FILE, json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n")

    def is_finished(self, fold_dir: Path) -> bool:
        """Whether a fold has all of its steps."""
        return self.num_train_steps in complete_steps(fold_dir)


def fold_dir(folder: Path, fold: int) -> Path:
    """The training directory of a fold."""
    return Path(folder) / FOLD_FOLDER.format(fold=fold)


def fold_checkpoints(folder: Path, name: str | None = None) -> tuple[Path, ...]:
    """The last checkpoint of every fold, or the one called `name`; () for a folder that is none of folds.

    The last and not the best one: the best was chosen by the very episodes that the fold is to score.

    Raises:
        CheckpointError: a fold has not finished, or has no such checkpoint.
    """
    plan, folder = FoldPlan.read(folder), Path(folder).expanduser()
    if plan is None:
        return ()
    found = []
    for fold in range(plan.num_folds):
        path = fold_dir(folder, fold) / (name or step_name(plan.num_train_steps))
        if not path.is_dir():
            steps = complete_steps(path.parent)
            there = f"its last is {step_name(steps[-1])}" if steps else "it has none"
            raise CheckpointError(
                f"{path.parent}: expected the checkpoint {path.name} of fold {fold} of {plan.num_folds}, {there}; give "
                "the training command again, which goes on where it stopped"
            )
        found.append(path)
    return tuple(found)
