"""Small sets of rollouts for the tests of relabelling."""

import numpy as np

from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns import Outcome


def make_rollouts(lengths, outcomes=None, tasks=None, **changes):
    """Rollouts whose reward is -1/T a step and 0 in the last; every episode a success unless told otherwise."""
    lengths = np.asarray(lengths)
    outcomes = outcomes or [Outcome.SUCCESS] * len(lengths)
    reward = np.concatenate([np.append(np.full(n - 1, -1 / n), 0.0) for n in lengths]).astype(np.float32)
    target = np.concatenate([target_of(n, outcome) for n, outcome in zip(lengths, outcomes)])
    task = np.repeat(np.zeros(len(lengths), int) if tasks is None else np.asarray(tasks), lengths)
    nowhere = np.zeros(lengths.sum(), bool)
    fields = {
        "name": "rollouts",
        "lengths": lengths,
        "outcomes": tuple(outcomes),
        "tasks": tuple(f"task {i}" for i in range(int(task.max()) + 1)),
        "task": task,
        "intervention": nowhere,
        "still": nowhere,
        "reward": reward,
        "target": target,
        "keeps_last_value": np.array([o is not Outcome.SUCCESS for o in outcomes]),
    }
    return Rollouts(**{**fields, **changes})


def target_of(length, outcome):
    """-(T-1-t)/T in a success, -1 in a failure, unknown in a time-out."""
    constant = {Outcome.FAILURE: -1.0, Outcome.TIMEOUT: np.nan}
    ramp = np.arange(1 - length, 1) / length
    return np.full(length, constant[outcome], np.float32) if outcome in constant else ramp.astype(np.float32)


def flags(*ranges, size):
    """True in the given (start, stop) ranges."""
    found = np.zeros(size, bool)
    for start, stop in ranges:
        found[start:stop] = True
    return found
