"""A planar two-link arm with a gripper above a table, two blocks and two bins, moved by scripts.

Lengths are in world units: x in [-1, 1] from left to right, y from the floor (0) up to the arm's mount (2). One
tick is one frame. `ArmWorld` records a `Snapshot` per tick, which `arm_render` draws.
"""

import dataclasses
import math

import numpy as np

COLOURS = ("red", "blue")
SIDES = ("left", "right")

BLOCK = 0.22
"""Side of a block."""
TABLE_HALF_WIDTH, TABLE_TOP = 0.37, 0.35
BIN_X, BIN_HALF_WIDTH, BIN_TOP, BIN_BOTTOM = 0.84, 0.2, 0.35, 0.04
GAP_X = 0.495
"""Between table and bin, where a dropped block reaches the floor."""
MOUNT = (0.0, 2.0)
LINK = 0.9
"""Length of each link."""
WRIST_HEIGHT = 0.16
"""Of the wrist above the point between the fingertips."""

_HOME = (0.0, 1.25)
_HOVER_Y, _CARRY_Y, _RELEASE_Y = 0.75, 0.95, 0.62
_SLOTS = (-0.25, 0.0, 0.25)
_GRAVITY = 0.12
_MOTION_NOISE = 0.006


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The world at one tick.

    Attributes:
        x: of the point between the fingertips.
        y: of the same point.
        opening: of the gripper, 0 closed … 1 open.
        held: colour of the block in the gripper, None when empty.
        blocks: colour to the block's centre.
        operator: whether the operator is driving.
    """

    x: float
    y: float
    opening: float
    held: str | None
    blocks: dict[str, tuple[float, float]]
    operator: bool

    @property
    def joints(self) -> tuple[float, float]:
        """Shoulder and elbow angle, radians: 0 hangs straight down; the elbow always bends to the right."""
        dx, dy = self.x - MOUNT[0], MOUNT[1] - (self.y + WRIST_HEIGHT)
        reach = min(np.hypot(dx, dy), 2 * LINK)
        bend = np.arccos(reach / (2 * LINK))
        return float(np.arctan2(dx, dy) + bend), float(-2 * bend)

    def bin_of(self, colour: str) -> str | None:
        """The bin in which a block lies or into which it is falling, None anywhere else."""
        x = self.blocks[colour][0]
        if self.held == colour or abs(abs(x) - BIN_X) > BIN_HALF_WIDTH:
            return None
        return SIDES[int(x > 0)]

    def is_lost(self, colour: str) -> bool:
        """Whether a block was let go of beside the table, where the gripper cannot reach it."""
        beside_table = abs(self.blocks[colour][0]) > TABLE_HALF_WIDTH
        return beside_table and self.held != colour and self.bin_of(colour) is None


class ArmWorld:
    """The arm and what it does; every action appends its ticks to `history`."""

    def __init__(self, rng: np.random.Generator, speed: float):
        """Places the blocks and puts the arm at home.

        Args:
            rng: where the blocks are and how the arm trembles.
            speed: of the gripper, world units per tick.
        """
        self.rng, self.speed, self.operator = rng, speed, False
        self.x, self.y = _HOME[0] + rng.uniform(-0.1, 0.1), _HOME[1] + rng.uniform(-0.08, 0.08)
        self.opening = 1.0
        self.held: str | None = None
        slots = rng.permutation(_SLOTS)[: len(COLOURS)] + rng.uniform(-0.01, 0.01, len(COLOURS))
        self.blocks = {colour: (float(x), TABLE_TOP + BLOCK / 2) for colour, x in zip(COLOURS, slots)}
        self.falling: dict[str, float] = {}
        self.history: list[Snapshot] = []
        self._tick()

    def move_to(self, x: float, y: float) -> None:
        """Moves the gripper in a straight, slightly trembling line."""
        while (distance := np.hypot(x - self.x, y - self.y)) > self.speed / 2:
            step = min(self.speed * self.rng.uniform(0.75, 1.25), distance) / distance
            self.x += (x - self.x) * step + self.rng.normal(0, _MOTION_NOISE)
            self.y += (y - self.y) * step + self.rng.normal(0, _MOTION_NOISE)
            self._tick()

    def wait(self, ticks: int) -> None:
        """Hovers."""
        for _ in range(ticks):
            self.x += self.rng.normal(0, _MOTION_NOISE)
            self._tick()

    def wander(self) -> None:
        """Moves to some point above the table."""
        self.move_to(self.rng.uniform(-0.55, 0.55), self.rng.uniform(_HOVER_Y, 1.3))

    def hover_over(self, colour: str) -> None:
        """Moves to a point above a block."""
        self.move_to(self.blocks[colour][0], _HOVER_Y)

    def pick(self, colour: str) -> None:
        """Takes a block and lifts it."""
        self.hover_over(colour)
        self.move_to(*self.blocks[colour])
        self._grip(0.5)
        self.held = colour
        self._grip(0.3)
        self.move_to(self.x, _CARRY_Y)

    def carry_over(self, side: str) -> None:
        """Moves to a point above a bin."""
        self.move_to(_bin_x(side), _CARRY_Y)

    def place(self, side: str) -> None:
        """Lets the held block fall into a bin."""
        self.carry_over(side)
        self.move_to(_bin_x(side), _RELEASE_Y)
        self.release()

    def drop(self, side: str) -> None:
        """Loses the held block between the table and a bin."""
        self.move_to(math.copysign(GAP_X, _bin_x(side)), _CARRY_Y - 0.05)
        self.release()

    def release(self) -> None:
        """Opens the gripper; the held block falls."""
        assert self.held is not None, "nothing is held"
        self.falling[self.held] = 0.0
        self.held = None
        self._grip(0.7)
        self._grip(1.0)

    def go_home(self) -> None:
        """Moves up and home, so that an episode ends with the scene in full view."""
        self.move_to(self.x, max(self.y, _CARRY_Y))
        self.move_to(*_HOME)
        self.wait(3)

    def _grip(self, opening: float) -> None:
        self.opening = opening
        self._tick()

    def _tick(self) -> None:
        self.x, self.y = float(self.x), float(self.y)
        if self.held:
            self.blocks[self.held] = (self.x, self.y)
        for colour in list(self.falling):
            self._fall(colour)
        self.history.append(Snapshot(self.x, self.y, self.opening, self.held, dict(self.blocks), self.operator))

    def _fall(self, colour: str) -> None:
        x, y = self.blocks[colour]
        ground = (BIN_BOTTOM if abs(abs(x) - BIN_X) <= BIN_HALF_WIDTH else 0.0) + BLOCK / 2
        self.falling[colour] += _GRAVITY
        self.blocks[colour] = (x, max(ground, y - self.falling[colour]))
        if self.blocks[colour][1] == ground:
            del self.falling[colour]


def progress(snapshot: Snapshot, colour: str, side: str) -> float:
    """The fraction of the task that is done, in [0, 1]; 0 once it cannot be done any more.

    Args:
        snapshot: the world.
        colour: of the block that has to go
        side: into this bin.
    """
    if snapshot.bin_of(colour) == side:
        return 1.0
    if snapshot.bin_of(colour) or snapshot.is_lost(colour) or snapshot.held not in (None, colour):
        return 0.0
    if snapshot.held == colour:
        return 0.5 + 0.4 * _closeness(snapshot.x - _bin_x(side), snapshot.y - _RELEASE_Y)
    x, y = snapshot.blocks[colour]
    return 0.4 * _closeness(snapshot.x - x, snapshot.y - y)


def _closeness(dx: float, dy: float, far: float = 1.2) -> float:
    return float(max(0.0, 1 - np.hypot(dx, dy) / far))


def _bin_x(side: str) -> float:
    return -BIN_X if side == "left" else BIN_X
