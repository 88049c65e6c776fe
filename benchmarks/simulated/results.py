"""All figures of a run, as tables and as JSON."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from pistar_vf.typing import Bool
from simulated.measures import Estimate, LabelQuality, ValueQuality, paired_difference

COMPARED = ("outcome", "successes only", "random")


@dataclasses.dataclass(frozen=True)
class Check:
    """Something that must hold for the benchmark to mean anything."""

    name: str
    holds: bool
    found: str


@dataclasses.dataclass(frozen=True)
class TaskResults:
    """Of one task.

    Attributes:
        values: who judges to how well.
        labels: labelling to how well.
        above_mutant: wrong implementation to what the right one's AUC inside failures is above its.
        won: arm to which rollouts succeeded.
    """

    values: dict[str, ValueQuality]
    labels: dict[str, LabelQuality]
    above_mutant: dict[str, Estimate]
    won: dict[str, Bool[np.ndarray, "seeds starts"]]

    def difference(self, one: str, other: str) -> Estimate | None:
        """Of the success rates of two arms; None where one was not tried."""
        if one not in self.won or other not in self.won or one == other:
            return None
        return paired_difference(self.won[one], self.won[other])


@dataclasses.dataclass(frozen=True)
class Results:
    """Of a run.

    Attributes:
        settings: of the run.
        gates: what the library's gate says, by whose episodes.
        same_as_written: whether the labels computed here are those that relabelling wrote.
        tasks: by name.
        seconds: stage to seconds and seconds of one core.
    """

    settings: dict[str, Any]
    gates: dict[str, str]
    same_as_written: bool
    tasks: dict[str, TaskResults]
    seconds: dict[str, tuple[float, float]]

    def checks(self) -> list[Check]:
        """What proves the benchmark."""
        found = [Check("labels are those that relabel wrote", self.same_as_written, "")]
        for task, own in self.tasks.items():
            if not own.won:
                continue
            for name, above in own.above_mutant.items():
                found.append(Check(f"{task}: mutant '{name}' is caught", above.low > 0, f"AUC inside failures {above}"))
            oracle = own.difference("true gain", "outcome")
            if oracle is not None:
                found.append(Check(f"{task}: true gain is better than the outcome", oracle.low > 0, str(oracle)))
        return found

    def text(self) -> str:
        """Tables in Markdown."""
        parts = [f"gate, {name}: {verdict}" for name, verdict in self.gates.items()]
        for task, own in self.tasks.items():
            parts += [f"\n## {task}", _value_table(own), _label_table(own)]
            if own.won:
                parts.append(_arm_table(own))
        parts.append(_check_table(self.checks()))
        total = sum(cpu for _, cpu in self.seconds.values())
        parts.append(f"\nall stages: {total / 60:.1f} minutes of one core")
        return "\n".join(parts)

    def facts(self) -> dict[str, Any]:
        """Everything as plain numbers and words; names become keys of letters, digits and underscores."""
        return {
            "settings": self.settings,
            "gates": _keyed(self.gates),
            "seconds": self.seconds,
            "tasks": _keyed({task: _facts(own) for task, own in self.tasks.items()}),
            "checks": _keyed({check.name: dataclasses.asdict(check) for check in self.checks()}),
        }

    def write(self, folder: Path) -> None:
        """results.json and results.md."""
        text = json.dumps(self.facts(), indent=2, default=str)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        (folder / "results.md").write_text(self.text() + "\n", encoding="utf-8")


def _keyed(named: dict[str, Any]) -> dict[str, Any]:
    return {re.sub(r"\W+", "_", name).strip("_").lower(): value for name, value in named.items()}


def _facts(own: TaskResults) -> dict[str, Any]:
    differences = {}
    for name in own.won:
        found = {other: own.difference(name, other) for other in COMPARED}
        differences[name] = _keyed({other: dataclasses.asdict(d) for other, d in found.items() if d is not None})
    return {
        "values": _keyed({name: dataclasses.asdict(quality) for name, quality in own.values.items()}),
        "labels": _keyed({name: dataclasses.asdict(quality) for name, quality in own.labels.items()}),
        "above_mutant": _keyed({name: dataclasses.asdict(estimate) for name, estimate in own.above_mutant.items()}),
        "success": _keyed({name: float(won.mean()) for name, won in own.won.items()}),
        "success_by_seed": _keyed({name: won.mean(1).tolist() for name, won in own.won.items()}),
        "differences": _keyed(differences),
    }


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _value_table(own: TaskResults) -> str:
    rows = [
        [name, str(q.same_time), str(q.auc), f"{q.rms:.3f}", f"{q.rms / q.rms_of_clock:.2f}"]
        for name, q in own.values.items()
    ]
    return _table(["value", "same-time concordance", "AUC, last quarter", "RMS", "of the clock's"], rows)


def _label_table(own: TaskResults) -> str:
    rows = [
        [name, f"{q.share:.0%}", f"{q.share_in_failures:.0%}", str(q.overall), str(q.in_failures), str(q.in_successes)]
        for name, q in own.labels.items()
    ]
    return _table(
        ["labels", "positive", "in failures", "AUC for the gain", "inside failures", "inside successes"], rows
    )


def _arm_table(own: TaskResults) -> str:
    rows = []
    for name, won in own.won.items():
        differences = [own.difference(name, other) for other in COMPARED]
        rows.append([name, f"{won.mean():.3f}", *("" if d is None else signed(d) for d in differences)])
    return _table(["arm", "success", *(f"minus {other}" for other in COMPARED)], rows)


def _check_table(checks: list[Check]) -> str:
    return _table(["check", "holds", "found"], [[c.name, "yes" if c.holds else "NO", c.found] for c in checks])


def signed(estimate: Estimate) -> str:
    """A difference in words."""
    between = "" if np.isnan(estimate.low) else f" ({estimate.low:+.3f} … {estimate.high:+.3f})"
    return f"{estimate.figure:+.3f}{between}"
