"""The two Meta-World tasks: what a robot is told, what counts as progress, and what else it might do instead."""

import dataclasses
from collections.abc import Callable

import numpy as np

from pistar_vf.typing import Float

NEAR_HAND = 0.05
"""Distance between hand and object, metres, that counts as there: the gripper has a size."""
OBSERVATION = slice(0, 7), slice(36, 39)
"""Of Meta-World's observation: hand, gripper and object now, and the goal. The policies see nothing else."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: Meta-World's.
        prompt: what the robot is told.
        others: tasks whose script an episode of the kind "other_task" follows.
        speed: range of the share of the script's speed that an episode has.
        succeeded: of (object, goal), Meta-World's own rule.
    """

    name: str
    prompt: str
    others: tuple[str, ...]
    speed: tuple[float, float]
    succeeded: Callable[[np.ndarray, np.ndarray], bool]

    @property
    def grasps(self) -> bool:
        """Whether the hand has to hold something."""
        return self.name == "pick-place-v3"


TASKS = (
    Task(
        "pick-place-v3",
        "pick up the red puck and hold it at the blue dot",
        ("push-v3", "reach-v3", "push-back-v3"),
        (0.55, 1.0),
        lambda thing, goal: bool(np.linalg.norm(thing - goal) <= 0.07),
    ),
    Task(
        "drawer-open-v3",
        "open the green drawer",
        ("drawer-close-v3", "reach-v3", "button-press-v3"),
        (0.8, 1.5),
        lambda thing, goal: bool(np.linalg.norm(thing - goal) <= 0.03),
    ),
)


def find_task(name: str) -> Task:
    """The task called `name`."""
    return next(task for task in TASKS if task.name == name)


def policy_inputs(observation: Float[np.ndarray, "... 39"]) -> Float[np.ndarray, "... 10"]:
    """What a policy sees of Meta-World's observation."""
    return np.concatenate([observation[..., part] for part in OBSERVATION], axis=-1)


class Progress:
    """How far an episode is, from the simulator: 0 at its start, 1 where it has succeeded.

    0.3 for the hand's way to the object and 0.7 for the object's way to the goal, both as shares of the distance at the
    episode's start and between 0 and 1.
    """

    def __init__(self, observation: Float[np.ndarray, " 39"]):
        self._hand_at_start = max(_hand_distance(observation) - NEAR_HAND, NEAR_HAND)
        self._way_at_start = max(_way(observation), 0.02)

    def way(self, observation: Float[np.ndarray, " 39"]) -> float:
        """Share of the object's way that is done."""
        return float(np.clip(1 - _way(observation) / self._way_at_start, 0, 1))

    def of(self, observation: Float[np.ndarray, " 39"], succeeded: bool) -> float:
        """Progress at one moment."""
        if succeeded:
            return 1.0
        hand = np.clip(1 - (_hand_distance(observation) - NEAR_HAND) / self._hand_at_start, 0, 1)
        return float(0.3 * hand + 0.7 * self.way(observation))


def _hand_distance(observation: np.ndarray) -> float:
    return float(np.linalg.norm(observation[:3] - observation[4:7]))


def _way(observation: np.ndarray) -> float:
    return float(np.linalg.norm(observation[4:7] - observation[36:39]))
