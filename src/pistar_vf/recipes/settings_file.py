"""`settings.json`: how a run was set, and what it read. In the run's folder and in each of its checkpoints.

A resumed run must be the run that it resumes: every setting is compared, but for those of `MAY_CHANGE`, and so is a
digest of everything that the run reads, wherever it lies.
"""

import json
import logging
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pistar_vf import __version__
from pistar_vf.changes.durable_files import write_whole
from pistar_vf.checkpoints.layout import SETTINGS_FILE
from pistar_vf.errors import ConfigError
from pistar_vf.foreign_files import read_text
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.settings import Composed

C = TypeVar("C", bound=Composed)
_log = logging.getLogger(__name__)

MAY_CHANGE = frozenset(
    {
        # How long, and what happens on the way; the length warns, as the schedule follows it.
        *("num_train_steps", "log_interval", "val_interval", "save_interval", "max_to_keep", "resume_from_checkpoint"),
        "checkpoint_params",
        # Places: what lies there is compared by its digest.
        *("data_dir", "val_data_dir", "checkpoint_dir", "cache_dir", "tokenizer_path", "outcome_file"),
        *("vqa_data", "vqa_image_dir", "dataset_name", "image_dir", "pretrained_path", "projector_path"),
        # Machines and logs; and where defaults came from.
        *("num_workers", "fsdp_devices", "remat", "coordinator", "num_processes", "process_id", "preset", "download"),
        *("wandb_project", "wandb_entity", "wandb_run_name", "wandb_tags", "wandb_mode"),
    }
)
"""Settings that a resumed run may have another value of."""

_NOT_COMPARED = (
    f"%s: no {SETTINGS_FILE}, as in checkpoints of older versions: seed, batch size, steps, freezing, targets and "
    "episodes are compared; learning rates, EMA, augmentation, cameras, prompts and labels cannot be"
)


def settings_text(
    config: Composed, inputs: Mapping[str, str], revisions: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The file's content.

    Args:
        config: of the run.
        inputs: what the run reads, to a digest of it.
        revisions: places of files that came from the hub, to their commit; for people, as the digests decide.
    """
    content = {"pistar_vf": __version__, "settings": config.to_json(), "inputs": dict(inputs)}
    if revisions:
        content["revisions"] = dict(revisions)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def keep_settings_file(folder: Path, text: str) -> None:
    """Writes the file into a run's folder, before the first step; among processes, for the first of them."""
    write_whole(Path(folder) / SETTINGS_FILE, text)


def read_settings(path: Path, kind: type[C]) -> C:
    """The settings of a run.

    Args:
        path: a settings.json, or a folder with one: a run's or a checkpoint's.
        kind: the settings of the command.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    return kind.from_json(_read(path)["settings"], str(path))


def check_settings(
    checkpoint: Path, config: TrainConfig | AlignmentConfig, inputs: Mapping[str, str] | None = None
) -> None:
    """Refuses to go on from a checkpoint as another run than the one that wrote it.

    Args:
        checkpoint: its folder.
        config: of this run.
        inputs: digests of what this run reads; None before anything was read.

    Raises:
        ConfigError: a − / + list of what differs.
    """
    path = checkpoint / SETTINGS_FILE
    if not path.is_file():
        if inputs is not None:
            _log.warning(_NOT_COMPARED, checkpoint)
        return
    then = _read(path)
    settings = {**config.defaults(), **then["settings"]}  # a later version's settings had their defaults then
    different = _differences(settings, config.to_json(), MAY_CHANGE)
    if inputs is not None:
        different += _differences(then["inputs"], inputs, frozenset())
        _warn_of_other_length(settings["num_train_steps"], config.run.num_train_steps)
    if different:
        lines = "\n".join(different)
        command = "train" if isinstance(config, TrainConfig) else "align"
        words = ("pistar-vf", command, "--settings", str(path), "--resume_from_checkpoint", checkpoint.name)
        raise ConfigError(
            f"--resume_from_checkpoint: expected the run that wrote {path} (−), got another one (+):\n{lines}\n"
            f"Go on with the settings and data of then ({shlex.join(words)}), or start a new run in another "
            "--checkpoint_dir"
        )


def _warn_of_other_length(then: int, now: int) -> None:
    if then != now:
        _log.warning("num_train_steps was %s and is now %s: the learning-rate schedule changes", then, now)


def _differences(then: Mapping[str, Any], now: Mapping[str, Any], free: frozenset[str]) -> list[str]:
    """`− name: value` and `+ name: value` for every name that is on both sides, or on one, and not the same."""
    lines = []
    for name in dict.fromkeys((*then, *now)):
        if name in free or then.get(name) == now.get(name):
            continue
        lines += [f"− {name}: {then[name]}" if name in then else "", f"+ {name}: {now[name]}" if name in now else ""]
    return [line for line in lines if line]


def _read(path: Path) -> dict[str, Any]:
    file = path / SETTINGS_FILE if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"--settings {path}: expected a {SETTINGS_FILE}, or a folder that holds one; found none")
    try:
        content = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}: expected JSON, got {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
        raise ConfigError(f"{file}: expected the settings of a run, got something else; name its {SETTINGS_FILE}")
    return content
