"""Which episodes a dataset has: so many of each kind, in random order."""

import dataclasses

import numpy as np

from simulated.script import FAILED

SUCCESS_SHARE = 0.55


@dataclasses.dataclass(frozen=True)
class Batch:
    """Which episodes to make.

    Attributes:
        counts: task name to number of episodes.
        seed: of everything.
    """

    counts: dict[str, int]
    seed: int


@dataclasses.dataclass(frozen=True)
class Planned:
    """One episode.

    Attributes:
        task: its name.
        kind: see `simulated.script`.
        start: number of the start among the task's.
    """

    task: str
    kind: str
    start: int


def plan(batch: Batch) -> list[Planned]:
    """The episodes in their order; kinds in fixed shares, four in ten successes of a task with a recovery."""
    planned = []
    for task, count in batch.counts.items():
        good = round(count * SUCCESS_SHARE)
        kinds = ["recover" if number % 5 in (1, 3) else "clean" for number in range(good)]
        kinds += [FAILED[number % len(FAILED)] for number in range(count - good)]
        planned += [Planned(task, kind, number) for number, kind in enumerate(kinds)]
    order = np.random.default_rng(batch.seed).permutation(len(planned))
    return [planned[place] for place in order]
