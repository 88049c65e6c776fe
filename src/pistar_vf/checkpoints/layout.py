"""Where the checkpoints of a run lie, and what their parts are called; nothing is read but folders."""

import logging
import re
from pathlib import Path

from pistar_vf.errors import CheckpointError

_log = logging.getLogger(__name__)

TOKENIZER_FILE = "tokenizer.model"
SPEC_FILE = "value_spec.json"
SETTINGS_FILE = "settings.json"
BEST_FOLDER = "best"
BEST_PROJECTOR = "best_projector.safetensors"
"""What stage 1 leaves for stage 2."""
MODEL_FOLDER = "model"
"""Stage 1's whole model, where more than the projector was trained."""
FOLD_FOLDER = "fold_{fold}"
"""The training directory of one of several folds."""
_ORBAX_FILE = "_METADATA"
_STEP = re.compile(r"^step_(\d{8,})$")


def step_name(step: int) -> str:
    """Directory name of a step."""
    return f"step_{step:08d}"


def complete_steps(root: Path) -> list[int]:
    """Steps with a complete checkpoint under `root`, ascending."""
    if not root.is_dir():
        return []
    matches = (_STEP.match(entry.name) for entry in root.iterdir() if entry.is_dir())
    return sorted(int(match[1]) for match in matches if match)


def find_checkpoint(path: Path) -> Path:
    """A checkpoint directory: `path` itself (of this library or of upstream), the best one below it, or the last one.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path).expanduser()
    if (path / SPEC_FILE).is_file() or (path / _ORBAX_FILE).is_file():
        return path
    for root in (path / BEST_FOLDER, path):
        steps = complete_steps(root)
        if steps:
            found = root / step_name(steps[-1])
            if root.name == BEST_FOLDER and complete_steps(path):
                _log.info("%s: taking best/%s, chosen by validation loss; name a step_… for another", path, found.name)
            return found
    if (path / FOLD_FOLDER.format(fold=0)).is_dir():
        raise CheckpointError(
            f"{path}: expected one model, got folds; name one of them, such as {path / FOLD_FOLDER.format(fold=0)}"
        )
    raise CheckpointError(f"{path}: expected a checkpoint (step_…) or a training directory that holds some; found none")
