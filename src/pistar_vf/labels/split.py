"""Which episodes train and which are held out; always whole episodes, never single frames."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.labels.settings import SplitRatios
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.episode import EpisodeChoice
from pistar_vf.returns import Outcome, labelled_outcomes
from pistar_vf.typing import Float, Int

PARTS = ("train", "val", "test")
_RANGE = re.compile(r"^(\d+)(?:-(\d+))?$")
_TOLERANCE = 1e-6


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
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ConfigError(f"{flag}: expected indices and ranges such as '0-25,30', got {part!r} in {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        result.extend(range(first, last + 1))
    return tuple(dict.fromkeys(result))


def parse_choice(episodes: str | None, leave_out: str | None) -> EpisodeChoice:
    """Which episodes to open, from the flags --episodes and --leave_out.

    Raises:
        ConfigError: a part is neither an index nor a range.
    """
    only = None if episodes is None else parse_episodes(episodes, "--episodes")
    return EpisodeChoice(only, () if leave_out is None else parse_episodes(leave_out, "--leave_out"))


def parse_choices(episodes: Sequence[str], leave_out: Sequence[str], count: int) -> list[EpisodeChoice]:
    """One choice for each of several datasets, from words such as `3,7` (of the only one) and `2:3,7`.

    Raises:
        ConfigError: a word names no dataset, or no episodes.
    """
    only, left_out = (
        _by_dataset(words, flag, count) for words, flag in ((episodes, "--episodes"), (leave_out, "--leave_out"))
    )
    return [EpisodeChoice(tuple(only[i]) if only[i] else None, tuple(left_out[i])) for i in range(count)]


def _by_dataset(words: Sequence[str], flag: str, count: int) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(count)]
    for word in words:
        number, colon, text = word.rpartition(":")
        if not (colon or count == 1) or (colon and not (number.isdecimal() and 1 <= int(number) <= count)):
            raise ConfigError(
                f"{flag} {word}: expected <number of the dataset, 1 to {count}>:<episodes>, such as 1:0-25,30"
            )
        found[int(number or 1) - 1] += parse_episodes(text, flag)
    return found


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
    episodes: Sequence[Episode], val_fraction: float, seed: int, strata: Sequence[tuple[str, str]] | None = None
) -> tuple[tuple[Episode, ...], tuple[Episode, ...]]:
    """Draws the held-out episodes at random.

    Of two held-out episodes or more, each outcome has its share, and at least one where two episodes have it; within an
    outcome, tasks have theirs.

    Args:
        episodes: all episodes.
        val_fraction: share to hold out, in [0, 1); at least one episode is held out when it is above 0.
        seed: decides the draw; the same seed and episodes always give the same split.
        strata: outcome and task of each episode; None draws from all alike, as runs before this version did.

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
    rng = np.random.default_rng(seed)
    if strata is None:
        chosen = set(rng.permutation(len(episodes))[:held_out].tolist())
    else:
        chosen = _stratified_draw(strata, held_out, rng)
    train = tuple(episode for i, episode in enumerate(episodes) if i not in chosen)
    return train, tuple(episode for i, episode in enumerate(episodes) if i in chosen)


def _stratified_draw(strata: Sequence[tuple[str, str]], count: int, rng: np.random.Generator) -> set[int]:
    """Positions of `count` episodes, in the strata's shares."""
    outcomes = np.array([outcome for outcome, _ in strata])
    names, sizes = np.unique(outcomes, return_counts=True)
    chosen: set[int] = set()
    for name, wanted in zip(names, _quotas(sizes, count, rng)):
        own = rng.permutation(np.flatnonzero(outcomes == name))
        own = np.array(sorted(own, key=lambda i: strata[i][1]), np.int64)  # by task, in random order within one
        # Evenly spaced from a random start: every task gets its share, to an episode.
        chosen |= set(own[((np.arange(wanted) + rng.random()) * len(own) / max(1, wanted)).astype(int)].tolist())
    return chosen


def _quotas(sizes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """How many of each outcome: the shares, rounded; at least one of an outcome of two or more, if there is room."""
    exact = sizes * count / sizes.sum()
    quota = np.floor(exact).astype(np.int64)
    if count >= 2:
        quota = np.where((quota == 0) & (sizes >= 2), 1, quota)
    order = np.argsort(quota - exact + 1e-9 * rng.random(len(sizes)))
    for place in range(int(count - quota.sum())):  # what rounding down left over, to those it hit hardest
        quota[order[place % len(order)]] += 1
    while quota.sum() > count:
        quota[np.argmax(quota)] -= 1
    return quota


def draw_folds(
    episodes: Sequence[Episode], num_folds: int, seed: int, strata: Sequence[tuple[str, str]]
) -> tuple[tuple[Episode, ...], ...]:
    """Divides episodes into folds of one size (to an episode), each stratum evenly among them.

    Args:
        episodes: all episodes.
        num_folds: K.
        seed: decides the draw.
        strata: outcome and task of each episode.

    Raises:
        ConfigError: fewer than two folds, or fewer episodes than folds.
    """
    if not 2 <= num_folds <= len(episodes):
        raise ConfigError(
            f"--folds {num_folds}: expected 2 to {len(episodes)} folds for {len(episodes)} episodes; with one "
            "fold nothing would be left to train on"
        )
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(episodes)).tolist()
    order = sorted(shuffled, key=lambda i: strata[i])
    fold_of = np.empty(len(episodes), np.int64)
    fold_of[order] = np.arange(len(episodes)) % num_folds  # stratum after stratum, dealt like cards
    return tuple(tuple(e for e, own in zip(episodes, fold_of) if own == fold) for fold in range(num_folds))


def episode_strata(
    dataset: LeRobotDataset, labels: Float[np.ndarray, " t"], outcomes: Mapping[int, Outcome] | None
) -> list[tuple[str, str]]:
    """The outcome and the task of every episode.

    Args:
        dataset: all of its episodes.
        labels: value labels of all frames.
        outcomes: how every episode ended; None tells it from the labels, see `labelled_outcomes`.
    """
    tasks = [dataset.prompts[number] for number in dataset.prompt_index()[dataset.layout.starts]]
    if outcomes is None:
        ended = labelled_outcomes(labels, dataset.layout)
    else:
        ended = tuple(outcomes[episode.index] for episode in dataset.episodes)
    return [(str(outcome), task) for outcome, task in zip(ended, tasks)]


def whole_episodes(
    dataset: LeRobotDataset, labels: Float[np.ndarray, " t"], outcomes: Mapping[int, Outcome] | None
) -> tuple[tuple[Episode, ...], list[tuple[str, str]]]:
    """The episodes that splits are drawn from, and their strata: fragments are in no part.

    Args:
        dataset: all of its episodes.
        labels: see `episode_strata`.
        outcomes: see `episode_strata`.

    Raises:
        LabelError: there are fragments alone.
    """
    strata = episode_strata(dataset, labels, outcomes)
    whole = [pair for pair in zip(dataset.episodes, strata) if pair[1][0] != Outcome.FRAGMENT]
    if not whole:
        raise LabelError(
            f"{dataset.root}: expected episodes whose end is known, got {len(strata)} fragments and nothing else; "
            "merge whole episodes with them (`pistar-vf merge`), successes and failures"
        )
    return tuple(episode for episode, _ in whole), [stratum for _, stratum in whole]


def split_by_ratio(
    episodes: Sequence[Episode], ratios: SplitRatios, seed: int, strata: Sequence[tuple[str, str]]
) -> tuple[tuple[Episode, ...], tuple[Episode, ...], tuple[Episode, ...]]:
    """Draws training, validation and test episodes at random, each stratum in the same shares.

    The parts' sizes are the ratios of all episodes, rounded, and at least one where the ratio is above 0. Episodes are
    dealt out stratum after stratum, those of one outcome together, so that outcomes keep their shares (to an episode
    or two) even where there are more tasks than held-out episodes.

    Args:
        episodes: all episodes.
        ratios: of the parts.
        seed: decides the draw; the same seed and episodes always give the same split.
        strata: outcome and task of each episode.

    Returns:
        (train, validation, test), each in the dataset's order.

    Raises:
        ConfigError: there are fewer episodes than parts.
    """
    rng = np.random.default_rng(seed)
    names = sorted(set(strata))
    rank = dict(zip(names, rng.permutation(len(names)).tolist()))
    shuffled = rng.permutation(len(episodes)).tolist()
    order = sorted(shuffled, key=lambda i: (strata[i][0], rank[strata[i]]))
    part_of = np.empty(len(episodes), np.int64)
    part_of[order] = _deal(_part_sizes(ratios, len(episodes)))
    train, val, test = (tuple(e for e, own in zip(episodes, part_of) if own == part) for part in range(len(PARTS)))
    return train, val, test


def _part_sizes(ratios: SplitRatios, num_episodes: int) -> Int[np.ndarray, " parts"]:
    """Whole numbers nearest to the shares (largest remainder), none of them 0 where the share is not."""
    shares = np.array(dataclasses.astuple(ratios))
    if num_episodes < np.count_nonzero(shares):
        raise ConfigError(
            f"--train_ratio, --val_ratio and --test_ratio: expected at least {np.count_nonzero(shares)} episodes to "
            f"split, got {num_episodes}; set the ratio of a part to 0"
        )
    exact = shares / shares.sum() * num_episodes
    sizes = np.floor(exact + _TOLERANCE).astype(np.int64)
    for part in np.argsort(sizes - exact, kind="stable")[: num_episodes - sizes.sum()]:
        sizes[part] += 1
    for part in np.flatnonzero((sizes == 0) & (shares > 0)):
        sizes[np.argmax(sizes)] -= 1
        sizes[part] += 1
    return sizes


def _deal(sizes: Int[np.ndarray, " parts"]) -> Int[np.ndarray, " e"]:
    """The part of each place in a row, such that every stretch of the row holds the parts in their shares."""
    share, dealt = sizes / sizes.sum(), np.zeros(len(sizes))
    parts = np.empty(sizes.sum(), np.int64)
    for place in range(len(parts)):
        parts[place] = np.argmax(share * (place + 1) - dealt)  # whoever lags most behind
        dealt[parts[place]] += 1
    return parts
