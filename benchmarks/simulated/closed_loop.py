"""Policies of one arm, trained and let loose: the same starts for every arm and seed."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pistar_vf.typing import Bool, Int
from simulated.policy import ABSENT, NEGATIVE, POSITIVE, Policy, Training, train_policies
from simulated.tasks import find_task, policy_inputs
from simulated.truth import Truth
from simulated.world import World

STARTS_SEED = 5000
"""Of the rollouts: starts that no episode of the data has."""


@dataclasses.dataclass(frozen=True)
class Loop:
    """How an arm is tried.

    Attributes:
        seeds: of the policies.
        rollouts: starts.
        longest: steps after which a rollout has failed.
        training: of the policies.
    """

    seeds: int = 8
    rollouts: int = 50
    longest: int = 200
    training: Training = Training()  # noqa: RUF009 - frozen


@dataclasses.dataclass(frozen=True)
class Arm:
    """What a policy learns from.

    Attributes:
        frames: those that it learns from.
        positive: which of them it is told are positive; None for plain cloning.
    """

    frames: Bool[np.ndarray, " t"]
    positive: Bool[np.ndarray, " t"] | None

    def indicator(self) -> Int[np.ndarray, " t"]:
        """Of every frame."""
        if self.positive is None:
            return np.full(len(self.frames), ABSENT)
        return np.where(self.positive, POSITIVE, NEGATIVE)


def run_arm(arm: Arm, truth: Truth, task: str, loop: Loop) -> Bool[np.ndarray, "seeds starts"]:
    """Which rollouts succeeded."""
    rows = np.flatnonzero(arm.frames & (truth.task_of_frames == truth.tasks.tolist().index(task)))
    policies = train_policies(
        policy_inputs(truth.observation)[rows],
        truth.action[rows],
        arm.indicator()[rows],
        range(loop.seeds),
        loop.training,
    )
    world = World(find_task(task), STARTS_SEED)
    world.hurry()
    return np.array([_roll(world, policy, range(loop.rollouts), loop.longest) for policy in policies])


def _roll(world: World, policy: Policy, starts: Sequence[int], longest: int) -> list[bool]:
    return [world.roll(lambda seen: policy.act(policy_inputs(seen)), start, longest) for start in starts]
