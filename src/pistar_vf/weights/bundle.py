"""Where pretrained weights are: the VLM bundle's places, and paths the user gives.

<bundle>/tokenizer.model
<bundle>/siglip2-so400m-patch14-224-jax/siglip2_so400m14_224.npz    base vision tower
<bundle>/gemma-3-270m/                                              base language model
<bundle>/gemma-3-270m/step_00020000/                                value model
"""

import os
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.checkpoints.layout import complete_steps, find_checkpoint, step_name
from pistar_vf.choices import PretrainedSource
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.hub.files import curable
from pistar_vf.hub.unfinished import is_unfinished
from pistar_vf.weights.downloads import bundle_files, siglip2_files

BUNDLE_VARIABLE = "OPENPI_VLM_CKPT_DIR"
DEFAULT_BUNDLE = "~/Downloads/vlm_ckpt"
BUNDLE_STEP = 20_000
SIGLIP_FILE = Path("siglip2-so400m-patch14-224-jax") / "siglip2_so400m14_224.npz"
GEMMA_FOLDER = Path("gemma-3-270m")
VALUE_MODEL_FOLDER = GEMMA_FOLDER / step_name(BUNDLE_STEP)

_NUM_PATHS = {"bundle": (0, 1), "base": (0, 2), "huggingface": (2,), "checkpoint": (1,)}
_WANTED = {
    "bundle": "no path, or the bundle's folder",
    "base": "no path, or the SigLIP .npz and Google's Gemma 3 folder",
    "huggingface": "the folders of a SigLIP and of a Gemma 3 model",
    "checkpoint": "a checkpoint or a training directory",
}


def pretrained_paths(
    source: PretrainedSource, given: Sequence[Path] = (), tokenizer_path: str | None = None
) -> list[Path]:
    """The paths to read weights from.

    Args:
        source: where to start from.
        given: `--pretrained_path`.
        tokenizer_path: `--tokenizer_path`; the bundle is also looked for around it.

    Raises:
        ConfigError: another number of paths than the source takes.
        CheckpointError: the bundle, or a part of it, is not there; says what belongs where.
    """
    given = [Path(path).expanduser() for path in given]
    if len(given) not in _NUM_PATHS[source]:
        found = ", ".join(map(str, given)) or "none"
        raise ConfigError(f"--pretrained_path: --pretrained_source {source} expects {_WANTED[source]}, got {found}")
    if source == "bundle":
        return [_part_of_bundle(given[0] if given else _bundle(tokenizer_path), VALUE_MODEL_FOLDER)]
    if source == "base" and not given:
        return [_part_of_bundle(_bundle(tokenizer_path), part) for part in (SIGLIP_FILE, GEMMA_FOLDER)]
    if source == "checkpoint" and (complete_steps(given[0]) or complete_steps(given[0] / "best")):
        return [find_checkpoint(given[0])]
    return given


def _bundle(tokenizer_path: str | None) -> Path:
    """What the variable names decides; else the folder of the tokenizer, where a Gemma lies beside it."""
    if os.environ.get(BUNDLE_VARIABLE):
        return Path(os.environ[BUNDLE_VARIABLE]).expanduser()
    if tokenizer_path is not None:
        path = Path(tokenizer_path).expanduser()
        beside = path if path.is_dir() else path.parent
        if (beside / GEMMA_FOLDER).is_dir():
            return beside
    return Path(DEFAULT_BUNDLE).expanduser()


def _part_of_bundle(bundle: Path, part: Path) -> Path:
    if not (bundle / part).exists() or is_unfinished(bundle / part):
        files = siglip2_files(bundle) if part == SIGLIP_FILE else bundle_files(bundle)
        error = CheckpointError(
            f"--load_pretrained: expected {part} of the VLM bundle at {bundle}, found nothing. Download the bundle "
            f"(tokenizer.model, {VALUE_MODEL_FOLDER}/, and for base weights {SIGLIP_FILE} and {GEMMA_FOLDER}/) and put "
            f"it at {DEFAULT_BUNDLE} or beside the file of --tokenizer_path, or set {BUNDLE_VARIABLE} to where it is; "
            f"docs/weights.md has the whole list. This part: {files.line()}"
        )
        raise curable(error, files)
    return bundle / part
