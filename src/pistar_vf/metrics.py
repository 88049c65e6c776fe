"""How good a value function is on held-out frames, and whether it reads its inputs at all."""

import dataclasses
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from scipy.stats import rankdata

from pistar_vf.categorical import Support, cross_entropy, entropy, expected_value, two_hot
from pistar_vf.episode_layout import EpisodeLayout, evenly_spread
from pistar_vf.typing import Array, Bool, Float, Int

_MAX_MOMENTS, _MAX_EPISODES = 50, 500
CONSTANT_STD = 0.01
"""A standard deviation of V over all frames below this (2 atoms of 201) is a constant value function."""
RESOLUTION = 1e-6
"""Values closer than this are equal: a mean of equal numbers differs by its rounding, which would rank them."""


def frame_metrics(
    logits: Float[Array, "b atoms"], target: Float[Array, " b"], support: Support
) -> dict[str, Float[Array, " b"]]:
    """What is measured per frame; jit-able.

    Returns:
        `value` (predicted), `cross_entropy` and `kl` (nats), `top1` and `top5` (1 where the atom nearest to the
        target is among the 1 or 5 likeliest; among equally likely ones, its chance of being so).
    """
    distribution = two_hot(target, support)
    loss = cross_entropy(logits, distribution)
    nearest = jnp.argmax(distribution, axis=-1)
    own = jnp.take_along_axis(logits, nearest[:, None], axis=-1)
    likelier, as_likely = jnp.sum(logits > own, axis=-1), jnp.sum(logits == own, axis=-1)
    return {
        "value": expected_value(logits, support),
        "cross_entropy": loss,
        "kl": loss - entropy(distribution),
        "top1": jnp.clip((1 - likelier) / as_likely, 0.0, 1.0).astype(jnp.float32),
        "top5": jnp.clip((5 - likelier) / as_likely, 0.0, 1.0).astype(jnp.float32),
    }


def collect(parts: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Concatenates per-frame numbers of batches."""
    kept = list(parts)
    return {name: np.concatenate([part[name] for part in kept]) for name in kept[0]}


def summarise(
    frames: dict[str, np.ndarray], target: Float[np.ndarray, " t"], episode: Int[np.ndarray, " t"]
) -> dict[str, float]:
    """Means over frames, and the mean over episodes of the rank correlation between value and target.

    Args:
        frames: from `collect`.
        target: value labels of the same frames.
        episode: which episode each frame belongs to.
    """
    return {
        "loss": float(frames["cross_entropy"].mean()),
        "kl": float(frames["kl"].mean()),
        "top1": float(frames["top1"].mean()),
        "top5": float(frames["top5"].mean()),
        "mae": float(np.abs(frames["value"] - target).mean()),
        "spearman": episode_spearman(frames["value"], target, episode),
        "value_std": float(frames["value"].std()),
    }


def episode_spearman(
    value: Float[np.ndarray, " t"], target: Float[np.ndarray, " t"], episode: Int[np.ndarray, " t"]
) -> float:
    """Mean Spearman correlation over the episodes in which the target varies (successes); NaN without any.

    A constant prediction counts as 0: it orders nothing.
    """
    if not len(episode):
        return float("nan")
    order = np.argsort(episode, kind="stable")
    correlations = []
    for inside in np.split(order, np.flatnonzero(np.diff(episode[order])) + 1):
        if np.ptp(target[inside]) > 0:
            correlations.append(_pearson(ranks(value[inside]), ranks(target[inside])))
    return float(np.mean(correlations)) if correlations else float("nan")


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else 0.0


def ranks(numbers: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 1, of numbers closer than `RESOLUTION` the mean."""
    return rankdata(np.round(np.asarray(numbers, np.float64) / RESOLUTION))


def auc(score: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Chance that a positive's score is above a negative's, ties counting half; NaN when a class is missing.

    Scores closer than `RESOLUTION` are tied.
    """
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return float("nan")
    rank_sum = ranks(score)[positive].sum()
    return float((rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def auc_within(score: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], group: Int[np.ndarray, " n"]) -> float:
    """`auc` over the pairs inside each group: easy tasks with many successes do not count as knowing the outcome.

    NaN where no group has both classes.
    """
    right, pairs = 0.0, 0
    for number in np.unique(group):
        own = group == number
        count = int(positive[own].sum()) * int((~positive[own]).sum())
        if count:
            right, pairs = right + count * auc(score[own], positive[own]), pairs + count
    return right / pairs if pairs else float("nan")


def value_order(value: Float[np.ndarray, " t"], lengths: Int[np.ndarray, " e"]) -> Float[np.ndarray, " e"]:
    """Rank correlation of V and time in each episode (value-order correlation); NaN for an episode of one frame.

    A clock has 1 everywhere: alone, this figure says nothing.

    References:
        Ma et al., "Vision Language Models are In-Context Value Learners", arXiv 2411.04549, section 3.
    """
    parts = EpisodeLayout(lengths).split(value)
    return np.array([_pearson(ranks(own), np.arange(len(own))) if len(own) > 1 else np.nan for own in parts])


def same_time_concordance(
    value: Float[np.ndarray, " t"],
    target: Float[np.ndarray, " t"],
    episode: Int[np.ndarray, " t"],
    frame_index: Int[np.ndarray, " t"],
    task: Int[np.ndarray, " t"],
    *,
    min_gap: float = 0.1,
) -> float:
    """Chance that V says which of two episodes of one task is further, looking at both at the same frame index.

    Whatever depends on the task and the frame index alone gets exactly one half, as ties count half: unlike a rank
    correlation over time, this figure is nothing that a clock can have. At most 50 moments and 500 episodes of a task
    are looked at, evenly spread.

    Args:
        value: V of some frames.
        target: their value labels; frames where it is NaN are left out.
        episode: which episode each frame belongs to.
        frame_index: position of each frame in its episode.
        task: of each frame.
        min_gap: pairs whose targets differ by less do not count, units of V.

    Returns:
        In [0, 1]; NaN where no pair of targets is that far apart.
    """
    concordant, pairs = concordance_by_episode(value, target, episode, frame_index, task, min_gap=min_gap)
    return float(concordant.sum() / pairs.sum()) if pairs.any() else float("nan")


# The arguments of `same_time_concordance`, written out again: two public functions that are called alone.
def concordance_by_episode(
    value: Float[np.ndarray, " t"],
    target: Float[np.ndarray, " t"],
    episode: Int[np.ndarray, " t"],
    frame_index: Int[np.ndarray, " t"],
    task: Int[np.ndarray, " t"],
    *,
    min_gap: float = 0.1,
) -> tuple[Float[np.ndarray, " e"], Float[np.ndarray, " e"]]:
    """What `same_time_concordance` counts, episode by episode; same arguments.

    Returns:
        (pairs in the right order that an episode is in, ties counting half; pairs that it is in), by episode number
        from 0 to the largest. Every pair counts for both of its episodes.
    """
    size = int(episode.max(initial=-1)) + 1
    concordant, pairs = np.zeros(size), np.zeros(size)
    for number in np.unique(task):
        own = (task == number) & np.isfinite(target)
        episodes, moments = np.unique(episode[own]), np.unique(frame_index[own])
        looked_at = episodes[evenly_spread(len(episodes), _MAX_EPISODES)]
        rows = np.flatnonzero(own & np.isin(episode, looked_at))
        time = frame_index[rows]
        for moment in moments[evenly_spread(len(moments), _MAX_MOMENTS)]:
            now = rows[time == moment]
            right, counted = _ordered_pairs(value[now], target[now], min_gap)
            concordant[episode[now]] += right
            pairs[episode[now]] += counted
    return concordant, pairs


def _ordered_pairs(value: np.ndarray, target: np.ndarray, min_gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Of frames at one moment: how many pairs of each are in order, ties counting half, and how many there are."""
    further = target[:, None] - target >= min_gap
    steps = np.round((value[:, None] - value).astype(np.float64) / RESOLUTION)
    right = further * np.where(steps == 0, 0.5, steps > 0)
    return right.sum(axis=0) + right.sum(axis=1), (further.sum(axis=0) + further.sum(axis=1)).astype(np.float64)


def late_values(value: Float[np.ndarray, " t"], lengths: Int[np.ndarray, " e"]) -> Float[np.ndarray, " e"]:
    """Mean V over the last quarter of each episode, at least its last frame: what success is told from failure by.

    Args:
        value: V of the episodes' frames, one episode after the other.
        lengths: frames of each episode, none of them 0.
    """
    layout, quarter = EpisodeLayout(lengths), np.maximum(1, lengths // 4)
    late = layout.steps_left() < layout.spread(quarter)
    return layout.sum(np.where(late, value, 0.0).astype(np.float64)) / quarter


@dataclasses.dataclass(frozen=True)
class InputSensitivity:
    """Error of V on one sample of frames, as it is and with one input taken from other frames.

    Attributes:
        mae: with all inputs in place.
        mae_images_shuffled: with the images of other frames.
        mae_state_shuffled: with the states of other frames; NaN for a model without state.
        value_std: standard deviation of V over the sample.
    """

    mae: float
    mae_images_shuffled: float
    mae_state_shuffled: float
    value_std: float

    def warnings(self) -> list[str]:
        """What a person should know before trusting this model; empty when nothing is wrong."""
        found = []
        if self.value_std < CONSTANT_STD:
            found.append(
                f"V is (almost) constant: its standard deviation over frames is {self.value_std:.4f}. "
                "It cannot rank frames; train longer, raise the learning rate, or check the labels"
            )
        elif self.mae_images_shuffled <= self.mae:
            found.append(
                f"V does not use the images: with the images of other frames its error is "
                f"{self.mae_images_shuffled:.4f}, with its own {self.mae:.4f}"
            )
        return found
