"""What a judge of numbers alone can do: boosted trees on the robot's state, and on the simulator's."""

import numpy as np

from pistar_vf.evaluation.baselines import state_tree_baseline
from pistar_vf.typing import Float
from simulated.truth import Truth


def state_trees(truth: dict[str, Truth], target: Float[np.ndarray, " t"]) -> dict[str, Float[np.ndarray, " u"]]:
    """Values of the test episodes by trees that were fitted on the others.

    Args:
        truth: of the parts "train" and "test".
        target: of the frames of "train".

    Returns:
        By "trees on the robot's state" (hand and gripper) and "trees on the simulator's" (object and goal, too).
    """
    found = {}
    for name, inputs in (
        ("trees on the robot's state", robot_state),
        ("trees on the simulator's state", simulator_state),
    ):
        found[name] = state_tree_baseline(inputs(truth["train"]), target, inputs(truth["test"]))
    return found


def robot_state(truth: Truth) -> np.ndarray:
    """Hand and gripper, and the task."""
    return np.concatenate([truth.observation[:, :4], _task(truth)], axis=1)


def simulator_state(truth: Truth) -> np.ndarray:
    """Hand, gripper, object and goal, now and a step ago, and how far they are from each other."""
    seen = truth.observation
    hand, thing, goal = seen[:, :3], seen[:, 4:7], seen[:, 36:39]
    distances = [np.linalg.norm(difference, axis=1)[:, None] for difference in (hand - thing, thing - goal)]
    return np.concatenate([seen[:, :18], goal, hand - thing, thing - goal, *distances, _task(truth)], axis=1)


def _task(truth: Truth) -> np.ndarray:
    return truth.task_of_frames[:, None]
