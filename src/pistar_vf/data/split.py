"""Which episodes train and which are held out; always whole episodes, never single frames."""

import re
from collections.abc import Sequence

import numpy as np

from pistar_vf.data.lerobot import Episode
from pistar_vf.errors import ConfigError

_RANGE = re.compile(r"^(\d+)(?:-(\d+))?$")


def parse_episodes(text: str, flag: str) -> tuple[int, ...]:
    """Reads "0-25,30" as episode indices.

    Args:
        text: comma-separated indices and inclusive ranges.
        flag: the flag it came from, for the error.

    Raises:
        ConfigError: a part is neither an index nor a range.
    """
    result: list[int] = []
    for part in text.split(","):
        match = _RANGE.match(part.strip())
        if match is None:
            raise ConfigError(f"{flag}: expected indices and ranges such as '0-25,30', got {part!r} in {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        result.extend(range(first, last + 1))
    return tuple(dict.fromkeys(result))


def select_episodes(episodes: Sequence[Episode], indices: Sequence[int], flag: str) -> tuple[Episode, ...]:
    """The episodes with the given indices, in the dataset's order.

    Raises:
        ConfigError: an index is not in the dataset.
    """
    unknown = sorted(set(indices) - {episode.index for episode in episodes})
    if unknown:
        raise ConfigError(
            f"{flag}: the dataset has no episodes {unknown[:10]}; "
            f"it has {len(episodes)}, from {episodes[0].index} to {episodes[-1].index}"
        )
    wanted = set(indices)
    return tuple(episode for episode in episodes if episode.index in wanted)


def split_episodes(
    episodes: Sequence[Episode], val_fraction: float, seed: int
) -> tuple[tuple[Episode, ...], tuple[Episode, ...]]:
    """Draws the held-out episodes at random.

    Args:
        episodes: all episodes.
        val_fraction: share to hold out, in [0, 1); at least one episode is held out when it is above 0.
        seed: decides the draw; the same seed and number of episodes always give the same split.

    Returns:
        (train, validation), each in the dataset's order.

    Raises:
        ConfigError: the fraction is out of range, or would leave nothing to train on.
    """
    if not 0.0 <= val_fraction < 1.0:
        raise ConfigError(f"--val_fraction: expected a number in [0, 1), got {val_fraction}")
    if val_fraction == 0.0:
        return tuple(episodes), ()
    held_out = max(1, round(val_fraction * len(episodes)))
    if held_out >= len(episodes):
        raise ConfigError(
            f"--val_fraction {val_fraction} of {len(episodes)} episode(s) leaves none to train on; "
            "pass --val_fraction 0 or --val_data_dir"
        )
    chosen = set(np.random.default_rng(seed).permutation(len(episodes))[:held_out].tolist())
    train = tuple(episode for i, episode in enumerate(episodes) if i not in chosen)
    return train, tuple(episode for i, episode in enumerate(episodes) if i in chosen)
