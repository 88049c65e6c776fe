"""Reads the value labels of a dataset and describes the targets they make."""

import collections
import dataclasses
import logging
import shlex
from collections.abc import Collection, Sequence

import numpy as np

from pistar_vf.categorical import Support, two_hot
from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.errors import DatasetError, LabelError
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.frame_numbers import frame_numbers
from pistar_vf.returns import Outcome, labelled_outcomes
from pistar_vf.returns.outcome import LABEL_TOLERANCE
from pistar_vf.typing import Bool, Float

_log = logging.getLogger(__name__)

VALUE_COLUMN = "value_label"
REWARD_COLUMN = "reward_label"
OLD_VALUE_COLUMN = "value_lable"
"""How older datasets spell the column."""

_NUM_BARS = 10
_CHUNK = 8192  # frames whose targets are held at once


def read_value_labels(
    dataset: LeRobotDataset, column: str | None = None, timeouts: Collection[int] = ()
) -> Float[np.ndarray, " t"]:
    """The value label of every frame of the dataset, normalised returns in [-1, 0].

    Args:
        dataset: all episodes in order.
        column: where the labels are; None for `value_label`, or `value_lable` where only the old spelling exists.
        timeouts: indices of time-outs and fragments; their labels are not looked at and come as NaN.

    Raises:
        LabelError: the column is missing, or a label is not finite or outside [-1, 0].
    """
    column = column or find_value_column(dataset)
    if column not in dataset.columns:
        raise LabelError(
            f"expected the column '{column}' in {dataset.root}, got {sorted(dataset.columns)}; run "
            f"`pistar-vf label --data_dir {shlex.quote(str(dataset.root))} --output_dir <new folder>` to make a "
            "labelled copy"
        )
    labels = read_numbers(dataset, column)
    unknown = frames_of(dataset, timeouts)
    advice = "label the dataset again with `pistar-vf label`"
    _refuse_first(dataset, column, labels, np.isinf(labels) & ~unknown, "a finite value label", advice)
    missing = f"{advice}; if the episode timed out, say so with --outcome_column or --outcome_file"
    _refuse_first(dataset, column, labels, np.isnan(labels) & ~unknown, "a finite value label", missing)
    outside = ((labels < -1 - LABEL_TOLERANCE) | (labels > LABEL_TOLERANCE)) & ~unknown
    _refuse_first(dataset, column, labels, outside, "a value label in [-1, 0]", _advice_outside(dataset, labels))
    labels[unknown] = np.nan
    return np.clip(labels, -1.0, 0.0)


def read_numbers(dataset: LeRobotDataset, column: str) -> Float[np.ndarray, " t"]:
    """A column of one number per frame, as a float32 array of its own.

    Raises:
        LabelError: the column holds something else.
    """
    try:
        return frame_numbers(dataset.read_column(column), f"column '{column}' of {dataset.root}")
    except DatasetError as error:
        raise LabelError(str(error)) from error


def read_rewards(dataset: LeRobotDataset, timeouts: Collection[int] = ()) -> Float[np.ndarray, " t"]:
    """The reward label of every frame.

    Args:
        dataset: all episodes in order.
        timeouts: indices of time-outs and fragments; their rewards may be missing.

    Raises:
        LabelError: a reward is not finite.
    """
    rewards = read_numbers(dataset, REWARD_COLUMN)
    bad = ~np.isfinite(rewards) & ~frames_of(dataset, timeouts)
    advice = "label the dataset again with `pistar-vf label`"
    _refuse_first(dataset, REWARD_COLUMN, rewards, bad, "a finite reward label", advice)
    return rewards


def frames_of(dataset: LeRobotDataset, episodes: Collection[int]) -> Bool[np.ndarray, " t"]:
    """Which frames of the dataset belong to the episodes with the given indices."""
    indices = set(episodes)
    chosen = np.array([episode.index in indices for episode in dataset.episodes], bool)
    return dataset.layout.spread(chosen)


def find_value_column(dataset: LeRobotDataset) -> str:
    """`value_label`, or its old spelling (with a notice) where only that exists."""
    if VALUE_COLUMN in dataset.columns or OLD_VALUE_COLUMN not in dataset.columns:
        return VALUE_COLUMN
    _log.warning("%s has no '%s'; reading '%s', its old spelling", dataset.root, VALUE_COLUMN, OLD_VALUE_COLUMN)
    return OLD_VALUE_COLUMN


def _advice_outside(dataset: LeRobotDataset, labels: np.ndarray) -> str:
    """Labels below -1 count frames perhaps, but then something about them is wrong."""
    advice = "label the dataset again with `pistar-vf label`"
    if labels.min() < -1 - LABEL_TOLERANCE and labels.max() <= LABEL_TOLERANCE:
        return f"{advice}; labels in frames need the convention 'nttg': --label_convention nttg says where they differ"
    return advice


def _refuse_first(
    dataset: LeRobotDataset, column: str, labels: np.ndarray, bad: np.ndarray, wanted: str, advice: str
) -> None:
    """Names the file, episode and frame of the first bad number.

    Raises:
        LabelError: there is one.
    """
    if not bad.any():
        return
    row = int(np.argmax(bad))
    episode = dataset.episode_of(row)
    raise LabelError(
        f"column '{column}' of {episode.parquet}, episode {episode.index}, frame {row - episode.start}: "
        f"expected {wanted}, got {labels[row]} ({int(bad.sum())} such frames in the dataset); {advice}"
    )


@dataclasses.dataclass(frozen=True)
class TargetSummary:
    """What a value model is about to be trained on.

    Attributes:
        num_frames: frames described.
        num_successes: episodes that ended well.
        num_failures: episodes that did not.
        num_timeouts: episodes whose targets are left to training; they are in none of the shares.
        num_fragments: pieces of episodes, which are not trained on; they are in none of the shares.
        mass: share of the two-hot targets in ten equal bins of [-1, 0], lowest first; sums to 1.
        mass_at_minus_one: share on the lowest atom, where failures are.
        warning: what will go wrong in training on these labels, or None.
    """

    num_frames: int
    num_successes: int
    num_failures: int
    num_timeouts: int
    num_fragments: int
    mass: tuple[float, ...]
    mass_at_minus_one: float
    warning: str | None

    def __str__(self) -> str:
        open_ended = f", {self.num_timeouts} time-outs (bootstrapped in training)" if self.num_timeouts else ""
        open_ended += f", {self.num_fragments} fragments (not trained on)" if self.num_fragments else ""
        lines = [
            f"value targets: {self.num_frames} frames, "
            f"{self.num_successes} successes, {self.num_failures} failures{open_ended}"
        ]
        for index, share in enumerate(self.mass):
            low = -1 + index / _NUM_BARS
            bar = "█" * round(40 * share / (max(self.mass) or 1))
            lines.append(f"  {low:4.1f} … {low + 1 / _NUM_BARS:4.1f}  {share:6.1%}  {bar}".rstrip())
        lines.append(f"  exactly -1 (failures): {self.mass_at_minus_one:.1%}; -0.1 … 0 (done): {self.mass[-1]:.1%}")
        return "\n".join(lines + ([f"WARNING: {self.warning}"] if self.warning else []))


def describe_targets(
    labels: Float[np.ndarray, " t"],
    layout: EpisodeLayout,
    outcomes: Sequence[Outcome] | None = None,
    support_num_atoms: int = 201,
) -> TargetSummary:
    """Summarises the two-hot targets of a dataset.

    Args:
        labels: of all frames, in [-1, 0], NaN in time-outs and fragments, as `read_value_labels` returns them.
        layout: how they divide into episodes.
        outcomes: how each episode ended; None tells it from the labels, see `labelled_outcomes`.
        support_num_atoms: atoms of the value distribution on [-1, 0].
    """
    support = Support(num_atoms=support_num_atoms)
    known = labels[~np.isnan(labels)]
    chunks = [known[start : start + _CHUNK] for start in range(0, max(len(known), 1), _CHUNK)]
    mass = np.sum([np.asarray(two_hot(chunk, support)).sum(0, dtype=np.float64) for chunk in chunks], axis=0)
    mass /= max(len(known), 1)
    bars = np.minimum(np.arange(support_num_atoms) * _NUM_BARS // (support_num_atoms - 1), _NUM_BARS - 1)
    shown = labelled_outcomes(labels, layout)
    # Labels that are missing make a time-out of anything but a fragment.
    ended = [
        said if own is not Outcome.TIMEOUT or said is Outcome.FRAGMENT else own
        for own, said in zip(shown, outcomes or shown)
    ]
    counts = collections.Counter(ended)
    return TargetSummary(
        num_frames=len(labels),
        num_successes=counts[Outcome.SUCCESS],
        num_failures=counts[Outcome.FAILURE],
        num_timeouts=counts[Outcome.TIMEOUT],
        num_fragments=counts[Outcome.FRAGMENT],
        mass=tuple(np.bincount(bars, weights=mass, minlength=_NUM_BARS).tolist()),
        mass_at_minus_one=float(mass[0]),
        warning=_missing_class(counts[Outcome.SUCCESS], counts[Outcome.FAILURE]),
    )


def _missing_class(num_successes: int, num_failures: int) -> str | None:
    if num_failures == 0:
        return (
            "no episode is labelled a failure: the model will only learn how much time has passed and cannot tell a "
            "failing episode; add failures, or check the outcomes"
        )
    if num_successes == 0:
        return (
            "every episode is labelled a failure: the model will learn the constant -1; add successes, or check the "
            "outcomes"
        )
    return None
