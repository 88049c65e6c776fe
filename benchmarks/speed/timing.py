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

    Ctrl-C ends with the last whole round, where there is one.

    Args:
        programs: by name; each returns when its work is done.
        rounds: how many.
        say: whether to print every time, as a run of minutes should.
    """
    done: list[dict[str, tuple[float, float]]] = []
    load: list[float] = []
    try:
        for number in range(1, rounds + 1):
            before = os.getloadavg()[0]
            done.append({name: _timed(f"round {number}, {name}", program, say) for name, program in programs.items()})
            load.append(before)
    except KeyboardInterrupt:
        if not done:
            raise
    by_kind = [{name: [times[name][kind] for times in done] for name in programs} for kind in (0, 1)]
    return Times(*by_kind, load)


def _timed(name: str, program: Program, say: bool) -> tuple[float, float]:
    """Seconds of processors and of the clock for one unit."""
    clock, processor = time.perf_counter(), time.process_time()
    units = program()
    count = 1.0 if units is None else units
    seconds = (time.process_time() - processor) / count, (time.perf_counter() - clock) / count
    if say:
        print(f"{name}: {seconds[0]:.4g} s of processors, {seconds[1]:.4g} s", flush=True)
    return seconds
