"""Results on disk, stage by stage: a command that was stopped goes on, other settings repeat what depends on them."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DONE = "done.json"


@dataclasses.dataclass(frozen=True)
class Stages:
    """The folder of all results.

    Attributes:
        folder: of all of them.
    """

    folder: Path

    def keep(self, name: str, settings: dict[str, Any], make: Callable[[Path], None]) -> Path:
        """The folder of a stage with these settings, made where it is not finished.

        Args:
            name: of the stage, and of its folder, with a digest of the settings.
            settings: everything that decides the result, results of other stages by `digest`.
            make: fills the folder; what an earlier call left in it is there.
        """
        folder = self.folder / f"{name}-{digest(settings)}"
        if (folder / DONE).is_file():
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        started, cpu = time.perf_counter(), _cpu_seconds()
        print(f"{name}: {folder}", flush=True)
        make(folder)
        facts = {
            "settings": settings,
            "seconds": round(time.perf_counter() - started, 1),
            "cpu_seconds": round(_cpu_seconds() - cpu, 1),
        }
        (folder / DONE).write_text(json.dumps(facts, indent=2, default=str) + "\n", encoding="utf-8")
        return folder

    def seconds(self) -> dict[str, tuple[float, float]]:
        """Stage to (seconds, seconds of one core) that it took; of its last call where it was stopped before."""
        found = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(self._finished())}
        return {name: (facts["seconds"], facts["cpu_seconds"]) for name, facts in found.items()}

    def _finished(self) -> Iterator[Path]:
        return self.folder.glob(f"*/{DONE}")


def digest(settings: Any) -> str:
    """Changes with whatever is in the settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:10]


def _cpu_seconds() -> float:
    """Of this process and of those it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
