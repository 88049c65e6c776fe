"""The frames that a value run is validated on."""

from collections.abc import Sequence

from pistar_vf.errors import ConfigError
from pistar_vf.labels.targets import Targets
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.lerobot.row_rules import require_sound_rows
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.data_plan import Validation, open_dataset
from pistar_vf.recipes.targets import validation_targets


def plan_validation(
    config: TrainConfig, targets: Targets, held_out: Sequence[Episode], camera_keys: dict[str, str | None]
) -> Validation | None:
    """The frames to validate on: episodes held out of the training data, or those of --val_data_dir."""
    if config.run.val_interval <= 0:
        return None
    dataset = None
    if config.data.val_data_dir is not None:
        dataset = open_dataset(config, config.data.val_data_dir)
        require_sound_rows(dataset)
        _check_cameras(dataset, camera_keys)
        targets, held_out = validation_targets(config, dataset, targets), dataset.episodes
    if not held_out:
        return None
    # Nobody knows what the frames of a time-out or a fragment are worth: they say nothing about the model.
    rows = EpisodeRows(episode for episode in held_out if episode.index not in targets.open_ended)
    if len(rows) < config.run.batch_size:
        raise ConfigError(
            f"the validation set has {len(rows)} frames in {len(rows.episodes)} episode(s), fewer than one batch "
            f"of {config.run.batch_size}; hold out more (--val_fraction, --val_episodes; time-outs and "
            "fragments do not count) or pass --val_interval 0"
        )
    return Validation(dataset, targets, rows)


def _check_cameras(dataset: LeRobotDataset, camera_keys: dict[str, str | None]) -> None:
    missing = [key for key in camera_keys.values() if key is not None and key not in dataset.camera_keys]
    if missing:
        raise ConfigError(
            f"--val_data_dir {dataset.root} lacks the cameras {missing} of the training data; "
            f"it has {', '.join(dataset.camera_keys)}"
        )
