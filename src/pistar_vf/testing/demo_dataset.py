"""A synthetic robot dataset that a value model must look at, and whose prompt it must read, to get right.

Every scene has both blocks and both bins, so the same pictures are a success under one prompt and a failure under
another. Speeds, hesitations and detours differ between episodes, so that the clock does not tell the value.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pistar_vf.returns import Outcome
from pistar_vf.testing.arm_render import View, render
from pistar_vf.testing.arm_world import COLOURS, SIDES, ArmWorld, Snapshot, progress
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

FPS = 10
FRONT, WRIST = "observation.images.front", "observation.images.wrist"

_TIMEOUT_TICK = 50
"""When an episode that gets nowhere is called off; the arm then goes home."""
_WRIST_HALF_WIDTH = 0.45


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a prompt asks for: a block and a bin."""

    colour: str
    side: str

    @property
    def prompt(self) -> str:
        """The task in words."""
        return f"put the {self.colour} block in the {self.side} bin"

    @property
    def other_bin(self) -> "Goal":
        """The same block, the other bin."""
        return dataclasses.replace(self, side=_other(SIDES, self.side))

    @property
    def other_block(self) -> "Goal":
        """The other block, the same bin."""
        return dataclasses.replace(self, colour=_other(COLOURS, self.colour))


GOALS = tuple(Goal(colour, side) for side in SIDES for colour in COLOURS)


def _succeed(world: ArmWorld, goal: Goal) -> None:
    world.pick(goal.colour)
    world.place(goal.side)


def _succeed_slowly(world: ArmWorld, goal: Goal) -> None:
    world.speed *= 0.8
    if world.rng.random() < 0.5:
        world.wander()
    world.hover_over(goal.colour)
    world.wait(int(world.rng.integers(1, 6)))
    world.pick(goal.colour)
    world.wait(int(world.rng.integers(0, 5)))
    world.place(goal.side)


def _succeed_corrected(world: ArmWorld, goal: Goal) -> None:
    """The arm heads for the wrong block or the wrong bin; the operator takes over."""
    if world.rng.random() < 0.5:
        world.hover_over(goal.other_block.colour)
        world.operator = True
        world.pick(goal.colour)
        world.operator = False
    else:
        world.pick(goal.colour)
        world.carry_over(goal.other_bin.side)
        world.operator = True
        world.carry_over(goal.side)
    world.place(goal.side)
    world.operator = False


def _wrong_bin(world: ArmWorld, goal: Goal) -> None:
    _succeed(world, goal.other_bin)


def _wrong_block(world: ArmWorld, goal: Goal) -> None:
    _succeed(world, goal.other_block)


def _dropped(world: ArmWorld, goal: Goal) -> None:
    world.pick(goal.colour)
    world.drop(goal.side)
    world.wait(3)


def _stuck(world: ArmWorld, goal: Goal) -> None:
    """Freezes, as often as not with the block in the gripper."""
    world.hover_over(goal.colour)
    if world.rng.random() < 0.5:
        world.pick(goal.colour)
    world.wait(_TIMEOUT_TICK - len(world.history))


def _lost(world: ArmWorld, goal: Goal) -> None:
    """Wanders and never touches a block."""
    while len(world.history) < _TIMEOUT_TICK:
        world.wander()


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """A way to act and how it ends."""

    act: Callable[[ArmWorld, Goal], None]
    outcome: Outcome


FAST = Behaviour(_succeed, Outcome.SUCCESS)
SLOW = Behaviour(_succeed_slowly, Outcome.SUCCESS)
CORRECTED = Behaviour(_succeed_corrected, Outcome.SUCCESS)
WRONG_BIN = Behaviour(_wrong_bin, Outcome.FAILURE)
WRONG_BLOCK = Behaviour(_wrong_block, Outcome.FAILURE)
DROPPED = Behaviour(_dropped, Outcome.FAILURE)
STUCK = Behaviour(_stuck, Outcome.TIMEOUT)
LOST = Behaviour(_lost, Outcome.TIMEOUT)

# 24 episodes of each goal: 14 successes, 8 failures, 2 timeouts, mixed so that a short dataset has all kinds. Most
# failures put the block into the other bin, so that neither the pictures nor the prompt alone tell the outcome.
# WRONG_BLOCK is left out: telling colours apart takes the tiny preset longer than a demo should.
_SCHEDULE = (
    *(FAST, WRONG_BIN, SLOW, STUCK, CORRECTED, WRONG_BIN),
    *(SLOW, DROPPED, FAST, WRONG_BIN, FAST, WRONG_BIN),
    *(CORRECTED, FAST, WRONG_BIN, SLOW, DROPPED, FAST),
    *(SLOW, CORRECTED, FAST, LOST, WRONG_BIN, CORRECTED),
)


def demo_behaviour(index: int) -> Behaviour:
    """The behaviour of an episode of one goal: successes, failures and time-outs in the demonstration's mix."""
    return _SCHEDULE[index % len(_SCHEDULE)]


def swap_prompt(prompt: str) -> str:
    """The same task with the other bin."""
    words = {"left": "right", "right": "left"}
    return " ".join(words.get(word, word) for word in prompt.split(" "))


def write_demo_dataset(root: str | Path, *, num_episodes: int = 96, seed: int = 0, image_size: int = 96) -> Path:
    """Writes the dataset in LeRobot v2.1 form, h264 video, 10 frames per second.

    The columns are `observation.state` (joint angles in radians, gripper opening, gripper x and y, holding),
    `action` (the next gripper x, y and opening), `intervention` and `progress`, the simulator's own fraction of
    the task done in [0, 1]. The key `outcome` of `episodes.jsonl` says how an episode ended.

    Args:
        root: a new or empty folder.
        num_episodes: 24 per prompt in the default of 96; a multiple of 96 keeps the mix of outcomes exact.
        seed: everything follows from it.
        image_size: side of the square pictures, pixels, even.

    Returns:
        `root` as a path.
    """
    return write_lerobot_v21(root, _episodes(num_episodes, seed, image_size), fps=FPS, robot_type="planar_arm")


def _episodes(num_episodes: int, seed: int, image_size: int) -> Iterator[EpisodeData]:
    for index in range(num_episodes):
        rotation, which = divmod(index, len(GOALS))
        behaviour = _SCHEDULE[(rotation + 9 * which) % len(_SCHEDULE)]
        yield create_episode(GOALS[which], behaviour, np.random.default_rng([seed, index]), image_size)


def create_episode(goal: Goal, behaviour: Behaviour, rng: np.random.Generator, image_size: int) -> EpisodeData:
    """Plays one behaviour and films it.

    Args:
        goal: what the prompt asks for.
        behaviour: what the arm does.
        rng: scene, trembling and light.
        image_size: side of the pictures, pixels.
    """
    world = ArmWorld(rng, speed=rng.uniform(0.1, 0.14))
    behaviour.act(world, goal)
    world.go_home()
    front = View(rng.uniform(-0.03, 0.03), 1.0 + rng.uniform(-0.03, 0.03), 1.1, rng.uniform(0.85, 1.1))
    wrists = [View(s.x, s.y - 0.05, _WRIST_HALF_WIDTH, front.brightness) for s in world.history]
    return EpisodeData(
        columns=_columns(world.history, goal),
        images={
            FRONT: np.stack([render(snapshot, front, image_size) for snapshot in world.history]),
            WRIST: np.stack([render(snapshot, view, image_size) for snapshot, view in zip(world.history, wrists)]),
        },
        task=goal.prompt,
        metadata={"outcome": str(behaviour.outcome)},
    )


def _columns(history: list[Snapshot], goal: Goal) -> dict[str, np.ndarray]:
    state = [(*s.joints, s.opening, s.x, s.y, s.held is not None) for s in history]
    following = [*history[1:], history[-1]]
    return {
        "observation.state": np.array(state, np.float32),
        "action": np.array([(s.x, s.y, s.opening) for s in following], np.float32),
        "intervention": np.array([s.operator for s in history], np.int64),
        "progress": np.array([progress(s, goal.colour, goal.side) for s in history], np.float32),
    }


def _other(pair: tuple[str, str], one: str) -> str:
    return pair[1 - pair.index(one)]
