"""Times several programs in turn, so that whatever else the machine does meets all of them alike."""

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Program = Callable[[], float | None]
"""Does its work; returns how many units of it, None for one."""


@dataclasses.dataclass(frozen=True)
class Times:
    """What a unit of every program's work took in every round.

    On a machine that is shared, a second on the clock says how many others there were. Seconds of processors do not, so
    they are what is compared: the sum over threads, which does not charge a program for a core that it leaves idle.

    Attributes:
        processor: seconds of processors, by program, a number per round.
        clock: seconds on the clock, likewise.
        load: of the machine before every round, processes.
    """

    processor: Mapping[str, list[float]]
    clock: Mapping[str, list[float]]
    load: list[float]

    def median(self, name: str) -> float:
        """Processor seconds of a program."""
        return statistics.median(self.processor[name])

    def ratio(self, slow: str, fast: str) -> float:
        """How many times as many processor seconds one program takes as another: the median over the rounds."""
        pairs = zip(self.processor[slow], self.processor[fast], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def facts(self) -> dict[str, Any]:
        """Everything, for the record."""
        medians = {kind: {n: statistics.median(s) for n, s in by.items()} for kind, by in self._kinds().items()}
        return {**medians, "rounds": {kind: dict(by) for kind, by in self._kinds().items()}, "load": self.load}

    def _kinds(self) -> dict[str, Mapping[str, list[float]]]:
        return {"processor_seconds": self.processor, "clock_seconds": self.clock}


def in_turn(programs: Mapping[str, Program], rounds: int, *, say: bool = True) -> Times:
    """Runs all programs in every round; what a first call costs on top is in the first one, and in no median of three.

    Args:
        programs: by name; each returns when its work is done.
        rounds: how many.
        say: whether to print every time, as a run of minutes should.
    """
    times = Times({name: [] for name in programs}, {name: [] for name in programs}, [])
    for number in range(rounds):
        times.load.append(os.getloadavg()[0])
        for name, program in programs.items():
            clock, processor = time.perf_counter(), time.process_time()
            units = program()
            count = 1.0 if units is None else units
            times.processor[name].append((time.process_time() - processor) / count)
            times.clock[name].append((time.perf_counter() - clock) / count)
            if say:
                seconds = f"{times.processor[name][-1]:.4g} s of processors, {times.clock[name][-1]:.4g} s"
                print(f"round {number + 1}, {name}: {seconds}", flush=True)
    return times
