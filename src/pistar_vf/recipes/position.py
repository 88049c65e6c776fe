"""Whether a checkpoint of an older version, without settings.json, and this run are the same run.

Those checkpoints hold what follows here in position.json; newer ones hold all settings, see `settings_file`.
"""

import logging
from typing import Any

from pistar_vf.errors import ConfigError
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.prepare import TrainingData

_log = logging.getLogger(__name__)

_BEFORE_TARGET_RULES: dict[str, Any] = {
    "data_weight": [],
    "target": "dataset",
    "failure_penalty": None,
    "timeout_episodes": [],
    "bootstrap_interval": None,
    "vqa": None,
}
"""What the position of older checkpoints leaves out."""


def is_of_older_version(position: dict[str, Any]) -> bool:
    """Whether a checkpoint's position holds settings, as it did before there was a file for them."""
    return "num_train_frames" in position


def position_of(config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    """What must be the same for a resumed run to see the batches it would have seen."""
    return {
        "seed": config.seed,
        "batch_size": config.batch_size,
        "num_train_steps": config.num_train_steps,
        "freeze_mode": config.freeze_mode,
        "frozen_dtype": config.frozen_dtype,
        "num_train_frames": len(data.train_rows),
        "train_episodes": data.trained_on.facts()["train_episodes"],
        "data_weight": list(config.data_weight),
        "target": config.target,
        "failure_penalty": config.failure_penalty,
        "timeout_episodes": [episode.index for episode in data.timeouts.episodes],
        "bootstrap_interval": config.bootstrap_interval if data.timeouts.episodes else None,
        "vqa": [len(data.language.train_records), config.vqa_ratio, config.vqa_weight] if data.language else None,
    }


def check_position(saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses a resume under other settings, except for a longer or shorter run, which only warns.

    Args:
        saved: of the checkpoint, {} for a fresh start.
        now: of this run.

    Raises:
        ConfigError: names the setting and both values.
    """
    if not saved:
        return
    saved = _BEFORE_TARGET_RULES | saved
    for name, value in now.items():
        if saved.get(name) == value:
            continue
        if name == "num_train_steps":
            _log.warning("num_train_steps was %s and is now %s: the learning-rate schedule changes", saved[name], value)
            continue
        raise ConfigError(
            f"--resume_from_checkpoint: {name} was {saved.get(name)} when the checkpoint was saved and is {value} now; "
            "pass the same value, or start a new run"
        )
