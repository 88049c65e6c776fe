"""What several training datasets must have in common, and what is measured over all of them."""

from collections.abc import Sequence

import numpy as np

from pistar_vf.errors import ConfigError
from pistar_vf.frames.open_table import read_state
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.lerobot.camera_choice import choose_cameras
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.recipes.config import TrainConfig


def common_cameras(config: TrainConfig, datasets: Sequence[LeRobotDataset]) -> dict[str, str | None]:
    """The cameras that the flags mean, which must be the same in every dataset.

    Raises:
        ConfigError: a camera is missing or ambiguous, or the datasets differ.
    """
    flags = (config.image_key, config.wrist_image_key, config.extra_image_keys)
    found = [choose_cameras(dataset, *flags) for dataset in datasets]
    if any(keys != found[0] for keys in found):
        texts = [", ".join(f"{name} = {key}" for name, key in keys.items()) for keys in found]
        raise _disagreement("cameras", datasets, texts)
    return found[0]


def state_statistics(
    config: TrainConfig, datasets: Sequence[LeRobotDataset], train_episodes: Sequence[tuple[Episode, ...]]
) -> StateStatistics | None:
    """Measured over the training episodes of all datasets together; None for a model without state.

    Raises:
        ConfigError: the states are of different sizes.
        DatasetError: a dataset has no such column, or a value is not finite.
    """
    if config.state_encoding == "none":
        return None
    states = [read_state(dataset, config.state_key, episodes) for dataset, episodes in zip(datasets, train_episodes)]
    if len({state.shape[1] for state in states}) > 1:
        texts = [f"{config.state_key} of {state.shape[1]} numbers" for state in states]
        raise _disagreement("state", datasets, texts)
    return StateStatistics.measure(config.state_key, np.concatenate(states))


def _disagreement(what: str, datasets: Sequence[LeRobotDataset], texts: Sequence[str]) -> ConfigError:
    lines = "\n".join(f"  {dataset.root}: {text}" for dataset, text in zip(datasets, texts))
    return ConfigError(
        f"expected the same {what} in every --data_dir, got\n{lines}\n"
        "name cameras and state with --image_key, --wrist_image_key and --state_key, or leave out what does not fit"
    )
