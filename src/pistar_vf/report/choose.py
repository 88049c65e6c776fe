"""Which of many episodes a page shows, and in which order."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pistar_vf.typing import Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What is known of every episode of a dataset.

    Attributes:
        disagreement: mean |V - what its frames turned out to be worth|; NaN where unknown.
        score: its mean advantage; NaN where unknown.
        unseen: whether the model was not trained on it.
    """

    disagreement: Float[np.ndarray, " e"]
    score: Float[np.ndarray, " e"]
    unseen: Bool[np.ndarray, " e"]


def choose(ranking: Ranking, count: int) -> Int[np.ndarray, " n"]:
    """Positions of the episodes to show, the worst disagreement first.

    In turn the worst disagreement, the best and the worst score that are left; episodes that the model has not seen
    come before all others.
    """
    total = len(ranking.unseen)
    chosen: list[int] = []
    orders = [_order(ranking.unseen, key) for key in (-ranking.disagreement, -ranking.score, ranking.score)]
    for turn in range(3 * total):
        order = orders[turn % 3]
        left = next((position for position in order if position not in chosen), None)
        if left is None or len(chosen) == count:
            break
        chosen.append(left)
    return by_disagreement(ranking, chosen)


def by_disagreement(ranking: Ranking, positions: Sequence[int]) -> Int[np.ndarray, " n"]:
    """Some episodes, the worst first; those of which nobody knows come last, in their own order."""
    own = np.asarray(sorted(positions), np.int64)
    return own[np.argsort(-ranking.disagreement[own], kind="stable")]


def in_words(num_shown: int, num_all: int, named: bool) -> str:
    """How many are shown and why, for the reader of the page."""
    if num_shown == num_all:
        return f"All {num_all} episodes, the one whose V is furthest from what its frames turned out to be worth first."
    if named:
        return f"{num_shown} of {num_all} episodes, as named, the one whose V is furthest from the truth first."
    return (
        f"{num_shown} of {num_all} episodes, as the videos of all would make this file too large: in turn the one "
        "whose V is furthest from what its frames turned out to be worth, the best and the worst by mean advantage; "
        "unseen ones before those of the training. `pistar-vf report --episodes` shows others."
    )


def _order(unseen: np.ndarray, key: np.ndarray) -> list[int]:
    """Unseen episodes first, then by the key, what is unknown last."""
    return [int(position) for position in np.lexsort((key, ~unseen))]
