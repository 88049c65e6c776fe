"""What a check found: how bad, what, where, and what to do."""

import dataclasses
from pathlib import Path
from typing import Any, Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that a user should know about a dataset.

    Attributes:
        severity: "error" where training or LeRobot stops or is misled, "warning" where it may be, "note" otherwise.
        check: a short name of what was checked, the same for all findings of one kind.
        problem: what was expected and what is there.
        advice: what to do.
        file: relative to the dataset, None where no single file is meant.
        episode: its `episode_index`.
        key: the column or camera.
        frame: number in the episode, from 0.
    """

    severity: Severity
    check: str
    problem: str
    advice: str
    file: str | None = None
    episode: int | None = None
    key: str | None = None
    frame: int | None = None

    @property
    def place(self) -> str:
        """Where it is, in words; "" for the whole dataset."""
        parts = [self.file, f"episode {self.episode}", self.key, f"frame {self.frame}"]
        known = [self.file, self.episode, self.key, self.frame]
        return ", ".join(str(part) for part, value in zip(parts, known) if value is not None)


Place: TypeAlias = dict[str, Any]
"""Where something is: the keywords file, episode, key and frame of `Findings.error`."""


class Findings:
    """Collects findings about one dataset.

    Args:
        root: its folder; files are reported relative to it.
    """

    def __init__(self, root: Path):
        self.root = root
        self.items: list[Finding] = []

    def error(
        self, check: str, problem: str, advice: str, *, file: Path | None = None, **place: int | str | None
    ) -> None:
        """Adds an error; `place` is episode, key and frame of `Finding`."""
        self._add("error", check, problem, advice, file, place)

    def warning(
        self, check: str, problem: str, advice: str, *, file: Path | None = None, **place: int | str | None
    ) -> None:
        """Adds a warning; `place` is episode, key and frame of `Finding`."""
        self._add("warning", check, problem, advice, file, place)

    def note(
        self, check: str, problem: str, advice: str, *, file: Path | None = None, **place: int | str | None
    ) -> None:
        """Adds a note; `place` is episode, key and frame of `Finding`."""
        self._add("note", check, problem, advice, file, place)

    def _add(self, severity: Severity, check: str, problem: str, advice: str, file: Path | None, place: Place) -> None:
        # Not relative_to: a file may be named by way of a symlink.
        name = None if file is None else str(file).removeprefix(f"{self.root}/")
        self.items.append(Finding(severity, check, problem, advice, name, **place))
