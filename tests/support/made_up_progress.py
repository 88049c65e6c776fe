"""Episodes of which only progress and outcome are made up: what the measures of the Meta-World benchmark look at."""

import numpy as np
from simulated.labels import Units, rollouts_of
from simulated.truth import Truth

from pistar_vf.relabel.rollouts import Rollouts


def made_up_truth(num_episodes: int = 40, seed: int = 0) -> Truth:
    """Every other episode succeeds; failures rise, fall, and stay where they are, each at a time of its own."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(60, 120, num_episodes)
    succeeded = np.arange(num_episodes) % 2 == 0
    progress = [_ramp(rng, length) if won else _failure(rng, length) for won, length in zip(succeeded, lengths)]
    frames = int(lengths.sum())
    return Truth(
        tasks=np.array(["lift"]),
        task=np.zeros(num_episodes, np.int64),
        kind=np.where(succeeded, "clean", "drop"),
        onset=np.full(num_episodes, -1),
        succeeded=succeeded,
        lengths=lengths,
        progress=np.concatenate(progress).astype(np.float32),
        observation=np.zeros((frames, 39), np.float32),
        action=np.zeros((frames, 4), np.float32),
    )


def made_up_rollouts(truth: Truth) -> Rollouts:
    """In the units of the paper's target, as the library's normaliser has them: the longest episode is worth 1."""
    cost = 1.0 / truth.lengths.max()
    reward = np.full(len(truth.progress), -cost)
    last = truth.layout.last_frames
    reward[last] = np.where(truth.succeeded, 0.0, -1.0)
    left = truth.layout.steps_left() * cost
    target = np.where(truth.success_of_frames, -left, -1.0)
    return rollouts_of(truth, Units(reward, target))


def _ramp(rng: np.random.Generator, length: int) -> np.ndarray:
    """Slow and fast stretches, 0 to 1."""
    way = np.cumsum(rng.choice([0.1, 1.0], 6).repeat(length // 6 + 1)[:length])
    return (way - way[0]) / (way[-1] - way[0])


def _failure(rng: np.random.Generator, length: int) -> np.ndarray:
    top, peak = rng.uniform(0.3, 0.8), int(length * rng.uniform(0.3, 0.5))
    fall = int(rng.integers(10, 20))
    rest = np.full(length - peak - fall, 0.1)
    return np.concatenate([np.linspace(0, top, peak), np.linspace(top, 0.1, fall), rest])
