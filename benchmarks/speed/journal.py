"""Measurements one after another on a machine that may be taken away: each is printed and on disk before the next."""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LEAST_SECONDS = 0.25
"""A round lasts at least so long: a launch takes part of a millisecond, and rounds of one step would count it."""
_ROUNDS = 5


@dataclasses.dataclass
class Journal:
    """A file of one JSON object a line: a name with its figures, or with the error that came instead.

    Attributes:
        path: of the file.
        deadline: when nothing new is started, seconds since the epoch.
    """

    path: Path
    deadline: float

    def run(self, name: str, program: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """The figures of one measurement; None where it failed or there is no time left."""
        if self.is_over:
            self.write(name, {"error": "no time left"})
            return None
        return self.finish(name, program)

    def finish(self, name: str, program: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """The same of what was begun in time: it is not left unmeasured after it was compiled."""
        started = time.perf_counter()
        try:
            figures = program()
        except Exception as error:  # out of memory, no such kernel: a finding as good as a figure
            self.write(name, {"error": f"{type(error).__name__}: {str(error).strip()[:300]}"})
            return None
        self.write(name, {**figures, "took": time.perf_counter() - started})
        return figures

    def write(self, name: str, figures: dict[str, Any]) -> None:
        """One line."""
        line = json.dumps({"name": name, **figures})
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    @property
    def is_over(self) -> bool:
        """Whether nothing new is started."""
        return time.time() > self.deadline


def read(path: Path) -> dict[str, dict[str, Any]]:
    """What was found, by name; empty where nothing was. A measurement tried again counts if it has figures now."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        own = json.loads(line)
        name = own.pop("name")
        if "error" not in own or name not in found:
            found[name] = own
    return found


def seconds_of(run: Callable[[], object], wait: Callable[[], object]) -> dict[str, Any]:
    """What a call takes: the median of rounds of several calls in flight, as a training loop has them.

    Args:
        run: starts one call on the device.
        wait: returns when everything started is done.
    """
    first = _round(run, wait, 1)  # warms up what is not compiled ahead
    again = _round(run, wait, 1)
    count = max(1, round(_LEAST_SECONDS / again))
    rounds = [_round(run, wait, count) for _ in range(_ROUNDS)]
    return {"seconds": statistics.median(rounds), "rounds": rounds, "calls": count, "first_call_seconds": first}


def _round(run: Callable[[], object], wait: Callable[[], object], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        run()
    wait()
    return (time.perf_counter() - started) / count
