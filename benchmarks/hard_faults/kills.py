"""SIGKILL at random moments of every command that writes."""

import dataclasses
import random
import statistics

from hard_faults.cases import Case, LostError, expect_success
from hard_faults.children import Moment
from hard_faults.world import World

NUM_MEASURED, LONG = 2, 2.0
"""Undisturbed runs from which a command's duration is known; of one that takes so many seconds, one."""


@dataclasses.dataclass
class Tally:
    """What came of killing one command.

    Attributes:
        seconds: an undisturbed run takes.
        operations: in which it changes files, as far as Python sees them.
        kills: that came before its end.
        losses: of them that lost something or left half a result, with what was lost.
    """

    seconds: float
    operations: int
    kills: int = 0
    losses: list[str] = dataclasses.field(default_factory=list)


def kill_often(world: World, case: Case, kills: int, seed: int) -> Tally:
    """Kills a command: half the time at a moment of its duration, half the time before one of its operations on files.

    Args:
        world: the inputs.
        case: the command.
        kills: how many.
        seed: decides the moments.
    """
    rng, tally = random.Random(f"{case.name} {seed}"), _measure(world, case)
    for number in range(3 * kills):
        if tally.kills == kills:
            break
        moment = _moment(rng, tally, number)
        work = world.fresh(case.inputs)
        try:
            ended = world.run(case.action(world), kill=moment)
            if ended.killed:
                tally.kills += 1
            else:
                expect_success(ended, "not killed")
            case.check(world, work)
        except LostError as lost:
            tally.losses.append(f"{case.name}, killed {moment}: {lost}")
    return tally


def _measure(world: World, case: Case) -> Tally:
    ended = []
    for _ in range(NUM_MEASURED):
        world.fresh(case.inputs)
        ended.append(world.run(case.action(world)))
        expect_success(ended[-1], f"{case.name}, undisturbed")
        if ended[-1].seconds > LONG:
            break
    case.learn(world)
    return Tally(statistics.median(each.seconds for each in ended), min(each.operations for each in ended))


def _moment(rng: random.Random, tally: Tally, number: int) -> Moment:
    if number % 2 and tally.operations:
        # Before it, or while what it began is being written.
        return Moment(rng.choice([None, rng.uniform(0.0, 0.003)]), rng.randint(1, tally.operations))
    return Moment(seconds=rng.uniform(0.0, tally.seconds))
