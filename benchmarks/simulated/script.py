"""One episode of a kind: Meta-World's own scripted policy, slowed down, made to tremble, and disturbed.

Kinds of successes: `clean`, and `recover`, which loses what it had halfway and gets it again. Kinds of failures:

noise       the hand trembles so much that nothing comes of it
stuck       from some moment on the arm stands still
drop        halfway, the hand lets go and leaves
other_task  the script of another task
wrong_goal  pick-place: another place; drawer: stops half open
"""

import dataclasses

import numpy as np

from pistar_vf.typing import Float

GOOD, FAILED = ("clean", "recover"), ("noise", "stuck", "drop", "other_task", "wrong_goal")
LONGEST = 160
"""Frames of an episode, at most."""
SHORTEST_SUCCESS = 45


@dataclasses.dataclass(frozen=True)
class Manner:
    """What is drawn once for an episode.

    Attributes:
        speed: share of the script's speed.
        noise: standard deviation of what is added to the actions.
        trigger: share of the object's way at which something happens.
        stuck_at: frame at which a stuck arm stops.
        idle: frames at the start in which the hand wanders.
        wander: where it wanders.
        away: where a hand that lets go moves.
        shift: from the goal to a wrong one, metres.
        retreat: frames for which a recovering hand goes away.
        give_up: frames after letting go at which a failure ends.
        hold: frames after success at which an episode ends.
        length: frames at which an episode ends at the latest.
    """

    speed: float
    noise: float
    trigger: float
    stuck_at: int
    idle: int
    wander: Float[np.ndarray, " 3"]
    away: Float[np.ndarray, " 3"]
    shift: Float[np.ndarray, " 3"]
    retreat: int
    give_up: int
    hold: int
    length: int

    @classmethod
    def draw(cls, rng: np.random.Generator, kind: str, speed: tuple[float, float]) -> "Manner":
        """Of an episode of a kind, for a task of this range of speeds."""
        shift = rng.uniform(-1, 1, 3)
        shift *= rng.uniform(0.11, 0.18) / np.linalg.norm(shift)
        ends_by_itself = kind in (*GOOD, "drop")
        return cls(
            speed=rng.uniform(*speed),
            noise=rng.uniform(1.0, 1.8) if kind == "noise" else rng.uniform(0.05, 0.3),
            trigger=rng.uniform(0.25, 0.75),
            stuck_at=int(rng.integers(8, 80)),
            idle=int(rng.integers(0, 8)),
            wander=rng.uniform(-1, 1, 3),
            away=np.array([*rng.uniform(-1, 1, 2), rng.uniform(0, 1)]),
            shift=np.array([*shift[:2], abs(shift[2]) * 0.3]),
            retreat=int(rng.integers(12, 22)),
            give_up=int(rng.integers(25, 60)),
            hold=int(rng.integers(4, 10)),
            length=LONGEST if ends_by_itself else int(rng.integers(85, LONGEST)),
        )


class Script:
    """Acts out one kind of episode.

    Attributes:
        onset: the first frame that went wrong; None before anything did.
    """

    def __init__(self, kind: str, manner: Manner, grasps: bool, rng: np.random.Generator):
        self.kind, self.manner, self.onset = kind, manner, None
        self._grasps, self._rng, self._noise = grasps, rng, np.zeros(4)

    def act(self, frame: int, own: Float[np.ndarray, " 4"], other: Float[np.ndarray, " 4"], way: float) -> np.ndarray:
        """The action at a frame, float32 in [-1, 1].

        Args:
            frame: its index.
            own: what the task's script would do.
            other: what another task's script would do.
            way: share of the object's way that is done.
        """
        if frame < self.manner.idle:
            action = np.append(0.6 * self.manner.wander, -1.0)
        else:
            action = self._disturbed(frame, own, other, way)
        action = np.zeros(4) if self._stands_still(frame) else action + self._trembling()
        return np.clip(action, -1, 1).astype(np.float32)

    def is_over(self, frame: int, succeeded_at: int | None) -> bool:
        """Whether the episode ends after this frame."""
        if self.kind == "drop" and self.onset is not None:
            return frame - self.onset >= self.manner.give_up
        return self.kind in GOOD and succeeded_at is not None and frame >= succeeded_at + self.manner.hold

    def _disturbed(self, frame: int, own: np.ndarray, other: np.ndarray, way: float) -> np.ndarray:
        if self.kind == "other_task":
            self._mark(0)
            own = other
        action = np.clip(own, -1, 1) * np.array([*[self.manner.speed] * 3, 1.0])
        if self.onset is None and way > self.manner.trigger and self._happens():
            self._mark(frame)
        if self.onset is None or self.kind not in ("drop", "recover", "wrong_goal"):
            return action
        since = frame - self.onset
        if self.kind == "wrong_goal":
            return np.append(np.zeros(3), action[3])
        return action if self.kind == "recover" and since >= self.manner.retreat else self._let_go(since)

    def _happens(self) -> bool:
        return self.kind in ("drop", "recover") or (self.kind == "wrong_goal" and not self._grasps)

    def _let_go(self, since: int) -> np.ndarray:
        """Opens the hand and leaves; a drawer is pushed in first."""
        leaves = 0.2 if self._grasps and since < 5 else 0.8
        action = np.append(leaves * self.manner.away, -1.0)
        if not self._grasps and since < self.manner.retreat // 2:
            action[1] = 0.8
        return action

    def _stands_still(self, frame: int) -> bool:
        still = self.kind == "stuck" and frame >= self.manner.stuck_at
        if still:
            self._mark(self.manner.stuck_at)
        return still

    def _trembling(self) -> np.ndarray:
        self._noise = 0.6 * self._noise + 0.8 * self._rng.normal(0, self.manner.noise, 4)
        self._noise[3] *= 0.3 if self.kind == "noise" else 0.0
        return self._noise

    def _mark(self, frame: int) -> None:
        self.onset = frame if self.onset is None else self.onset
