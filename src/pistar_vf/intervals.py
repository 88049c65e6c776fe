"""How sure a figure is, by episodes: they are independent of each other, frames are not.

What is promised is coverage: of many evaluations of `MIN_EPISODES` episodes or more, an interval from here holds the
true figure in nine of ten at least. `benchmarks/intervals.py` prints how often, for populations that are skewed,
bimodal or nearly perfect. Below `MIN_EPISODES`, or
where all episodes agree exactly, there is no interval: (NaN, NaN).

Errors and shares are skewed near their ends, so their intervals are those of Student's t on the logarithm of the
distance to the nearer end. They are never symmetric and never reach beyond the end.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t as student

from pistar_vf.metrics import ranks
from pistar_vf.typing import Bool, Float, Int, Shaped

MIN_EPISODES = 5
"""Fewer say nothing about their own spread."""
_LEVEL, _NORMAL = 0.97, 1.959964
_LEVEL_UNBOUNDED = 0.98  # of figures without an end to measure from: what skews costs five episodes
_UNKNOWN = (float("nan"), float("nan"))
_DRAWN_AT_ONCE = 1_000_000


def difference_interval(one: Float[np.ndarray, " e"], other: Float[np.ndarray, " f"]) -> tuple[float, float]:
    """Of the difference of two groups' means, the groups having spreads of their own (Welch's t, 98 % nominal).

    Args:
        one: a figure per episode of the first group.
        other: of the second.

    Returns:
        (NaN, NaN) too where a group has one episode only.

    References:
        Welch, "The generalization of Student's problem when several different population variances are involved",
        Biometrika 34, 1947.
    """
    sizes = np.array([len(one), len(other)])
    if sizes.min() < 2 or sizes.sum() < MIN_EPISODES:
        return _UNKNOWN
    squares = np.array([one.var(ddof=1), other.var(ddof=1)]) / sizes
    if not squares.sum() > 0:
        return _UNKNOWN
    freedom = squares.sum() ** 2 / (squares**2 / (sizes - 1)).sum()
    half = float(student.ppf((1 + _LEVEL_UNBOUNDED) / 2, freedom) * np.sqrt(squares.sum()))
    middle = float(one.mean() - other.mean())
    return middle - half, middle + half


def ratio_interval(
    sums: Float[np.ndarray, " e"], weights: Shaped[np.ndarray, " e"], *, top: float = np.inf
) -> tuple[float, float]:
    """Of `sum(sums) / sum(weights)`, a mean over frames, for figures of 0 or more.

    Args:
        sums: of the figure over each episode's frames.
        weights: frames of each episode.
        top: the figure's largest possible value; 1 for shares.
    """
    weights = np.asarray(weights, np.float64)
    figure = sums.sum() / weights.sum()
    residual = sums - figure * weights
    count = len(sums)
    error = np.sqrt(count / max(1, count - 1) * (residual**2).sum()) / weights.sum()
    return _from_the_nearer_end(float(figure), float(error), count, 0.0, top)


def jackknife_interval(
    figure: float, left_out: Float[np.ndarray, " e"], *, bottom: float = 0.0, top: float = 1.0
) -> tuple[float, float]:
    """Of any figure of all episodes together, from what it is without each of them.

    Args:
        figure: of all episodes.
        left_out: of all episodes but one, for each.
        bottom: the figure's smallest possible value.
        top: its largest.

    References:
        Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 11.
    """
    left_out = left_out[np.isfinite(left_out)]
    count = len(left_out)
    error = np.sqrt((count - 1) / max(1, count) * ((left_out - left_out.mean()) ** 2).sum()) if count else 0.0
    return _from_the_nearer_end(figure, float(error), count, bottom, top)


def _from_the_nearer_end(figure: float, error: float, count: int, bottom: float, top: float) -> tuple[float, float]:
    """Student's t on the logarithm of the distance to the nearer end."""
    distance = min(figure - bottom, top - figure)
    if count < MIN_EPISODES or not (error > 1e-12 and distance > 0):
        return _UNKNOWN
    factor = float(np.exp(student.ppf((1 + _LEVEL) / 2, count - 1) * error / distance))
    if figure - bottom <= top - figure:
        return bottom + distance / factor, min(top, bottom + distance * factor)
    return max(bottom, top - distance * factor), top - distance / factor


def auc_interval(auc: float, groups: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Of an AUC, also one of 0 or 1 (a score interval: the AUCs that would not be surprised by this one).

    Args:
        auc: over all groups, each weighing as many pairs as it has.
        groups: numbers of positives and of negatives of each task; those without pairs do not count.

    References:
        Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
        Statistics in Medicine 25, 2006: method 5.
    """
    sizes = np.array([pair for pair in groups if min(pair) > 0], np.float64).reshape(-1, 2)
    if sizes.sum() < MIN_EPISODES or not np.isfinite(auc):
        return _UNKNOWN
    pairs = sizes.prod(axis=1)
    share, more = pairs / pairs.sum(), sizes.sum(axis=1) / 2 - 1

    def half(true: float) -> float:
        variance = true * (1 - true) * (1 + more * ((1 - true) / (2 - true) + true / (1 + true))) / pairs
        return _NORMAL * float(np.sqrt((share**2 * variance).sum()))

    edge = 1e-9  # at 0 and 1 there is no variance: every equation has this solution too
    low = 0.0 if auc <= edge else brentq(lambda true: auc - true - half(true), 0.0, auc - edge)
    high = 1.0 if auc >= 1 - edge else brentq(lambda true: true - auc - half(true), auc + edge, 1.0)
    return float(low), float(high)


def auc_p_value(
    score: Float[np.ndarray, " e"],
    positive: Bool[np.ndarray, " e"],
    group: Int[np.ndarray, " e"],
    *,
    num_draws: int = 10_000,
) -> float:
    """How often a random assignment of outcomes, within each group, gives an AUC as high as this one.

    Args:
        score: of each episode.
        positive: which episodes are successes.
        group: task of each episode; outcomes are exchanged within a task only.
        num_draws: random assignments, always the same ones.

    Returns:
        In (0, 1], one-sided; NaN where no task has both outcomes.
    """
    rng = np.random.default_rng(0)
    own, drawn, mixed = 0.0, np.zeros(num_draws), False
    for number in np.unique(group):
        inside = group == number
        won, rank = positive[inside], ranks(score[inside])
        if 0 < won.sum() < len(won):
            mixed, own = True, own + rank[won].sum()
            for part in np.array_split(
                drawn, max(1, num_draws * len(won) // _DRAWN_AT_ONCE)
            ):  # views: they are added to
                orders = np.argsort(rng.random((len(part), len(won))), axis=1)
                part += rank[orders[:, : won.sum()]].sum(axis=1)
    return float((1 + (drawn >= own - 1e-9).sum()) / (1 + num_draws)) if mixed else float("nan")
