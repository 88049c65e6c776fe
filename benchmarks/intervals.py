"""How often the library's intervals hold the true figure: the coverage table of docs/evaluation.md.

    python benchmarks/intervals.py [--draws 2000]

Populations of episodes are made up so that the truth is known: errors that are normal, skewed or of two kinds, shares
near 0 and near 1, values of two classes for AUC, ramps for concordance. Prints the share of draws in which the interval
holds the truth, by number of episodes; "–" where no interval is printed.
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from pistar_vf.intervals import (
    auc_interval,
    difference_interval,
    jackknife_interval,
    ratio_interval,
)
from pistar_vf.metrics import auc, concordance_by_episode

COUNTS = (4, 5, 10, 20, 50)
_FRAMES = 20
_LARGE = 400


def episode_lengths(rng: np.random.Generator, count: int) -> np.ndarray:
    """Frames of episodes, 30 to 120."""
    return rng.integers(30, 121, count)


def errors(kind: str) -> Callable[[np.random.Generator, int], tuple[float, float, float]]:
    """Mean error per frame, weighted by frames, of a population whose figures do not depend on the length."""
    draw, truth = {
        "normal": (lambda rng, n: rng.normal(0.2, 0.05, n), 0.2),
        "exponential": (lambda rng, n: rng.exponential(0.1, n), 0.1),
        "log-normal": (lambda rng, n: np.exp(0.7 * rng.standard_normal(n)), np.exp(0.245)),
    }[kind]

    def one(rng: np.random.Generator, count: int) -> tuple[float, float, float]:
        lengths = episode_lengths(rng, count)
        return truth, *ratio_interval(draw(rng, count) * lengths, lengths)

    return one


def two_kinds(rng: np.random.Generator, count: int) -> tuple[float, float, float]:
    """Two in five are failures (a split by outcome keeps it so), whose error is seven times as large."""
    lost = np.arange(count) < round(0.4 * count)
    figures = np.where(lost, rng.normal(0.35, 0.1, count), rng.normal(0.05, 0.02, count))
    return float(np.where(lost, 0.35, 0.05).mean()), *ratio_interval(np.maximum(figures, 0), np.ones(count))


def share(truth: float) -> Callable[[np.random.Generator, int], tuple[float, float, float]]:
    """A share of frames, different from episode to episode (beta-distributed)."""

    def one(rng: np.random.Generator, count: int) -> tuple[float, float, float]:
        own = rng.binomial(60, rng.beta(8 * truth, 8 * (1 - truth), count))
        return truth, *ratio_interval(own.astype(float), np.full(count, 60), top=1.0)

    return one


def gap(rng: np.random.Generator, count: int) -> tuple[float, float, float]:
    """Mean of the successes minus mean of the failures, 60 % successes, spreads three to one."""
    won = round(0.6 * count)
    return 0.5, *difference_interval(rng.normal(-0.2, 0.15, won), rng.normal(-0.7, 0.05, count - won))


def separation(truth: float) -> Callable[[np.random.Generator, int], tuple[float, float, float]]:
    """AUC of two normal classes, 60 % successes."""
    distance = np.sqrt(2) * norm.ppf(truth)

    def one(rng: np.random.Generator, count: int) -> tuple[float, float, float]:
        won = np.arange(count) < round(0.6 * count)
        found = auc(rng.standard_normal(count) + distance * won, won)
        return truth, *auc_interval(found, [(int(won.sum()), int((~won).sum()))])

    return one


def concordance(noise: float) -> Callable[[np.random.Generator, int], tuple[float, float, float]]:
    """Same-time concordance of ramps of several lengths, V = target + noise of the episode and of the frame."""

    def counts(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        lengths = rng.uniform(0.6, 1.6, count)
        time = np.tile(np.arange(_FRAMES), count)
        episode = np.repeat(np.arange(count), _FRAMES)
        target = np.clip(time / _FRAMES / lengths[episode], 0, 1) - 1
        value = target + noise * rng.standard_normal(count)[episode] + 0.05 * rng.standard_normal(len(time))
        return concordance_by_episode(value, target, episode, time, np.zeros(len(time), np.int64))

    large = counts(np.random.default_rng(1), _LARGE)
    truth = float(large[0].sum() / large[1].sum())

    def one(rng: np.random.Generator, count: int) -> tuple[float, float, float]:
        right, pairs = counts(rng, count)
        if not pairs.any():
            return truth, np.nan, np.nan
        # Every pair is counted at both of its episodes; without one of them it is gone from both.
        left = (right.sum() - 2 * right) / np.maximum(pairs.sum() - 2 * pairs, 1e-9)
        return truth, *jackknife_interval(float(right.sum() / pairs.sum()), left)

    return one


POPULATIONS = {
    "error, normal": errors("normal"),
    "error, exponential": errors("exponential"),
    "error, log-normal": errors("log-normal"),
    "error, failures seven times worse": two_kinds,
    "share of 5 %": share(0.05),
    "share of 50 %": share(0.5),
    "share of 95 %": share(0.95),
    "V of successes minus failures": gap,
    "AUC 0.6": separation(0.6),
    "AUC 0.8": separation(0.8),
    "AUC 0.97": separation(0.97),
    "concordance, noise 0.1": concordance(0.1),
    "concordance, noise 0.3": concordance(0.3),
}


def coverage(name: str, count: int, draws: int, seed: int = 0) -> tuple[float, float]:
    """(share of the printed intervals that hold the truth, share of draws with an interval)."""
    rng = np.random.default_rng(seed)
    found = [POPULATIONS[name](rng, count) for _ in range(draws)]
    printed = [(truth, low, high) for truth, low, high in found if not np.isnan(low)]
    held = [low <= truth <= high for truth, low, high in printed]
    return float(np.mean(held)) if held else float("nan"), len(printed) / draws


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    print("| figure | " + " | ".join(f"{count} episodes" for count in COUNTS) + " |")
    print("|---" * (len(COUNTS) + 1) + "|")
    for name in POPULATIONS:
        cells = []
        for count in COUNTS:
            held, printed = coverage(name, count, draws)
            few = f" ({printed:.0%} printed)" if 0 < printed < 0.995 else ""
            cells.append("–" if np.isnan(held) else f"{held:.1%}{few}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
