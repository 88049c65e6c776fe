"""What a question found out about a tree: a verdict, why, and where."""

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

Verdict = Literal["fault", "fixed", "absent", "unknown"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """The answer to one question.

    Attributes:
        verdict: "fault": seen in the code. "fixed": something that does without the fault was seen. "absent": the tree
            has nothing that the question is about. "unknown": neither was seen; a person has to look.
        text: why; for "unknown", what to look at.
        place: `file:line`, or "".
        names: what the tree calls the parts that the edits hold on to; an edit writes them `<part>`.
    """

    verdict: Verdict
    text: str
    place: str = ""
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)


def fault(text: str, place: str = "", **names: str) -> Finding:
    """The fault was seen."""
    return Finding("fault", text, place, names)


def fixed(text: str, place: str) -> Finding:
    """What does without the fault was seen at a place."""
    return Finding("fixed", text, place)


def absent(text: str) -> Finding:
    """There is nothing to judge."""
    return Finding("absent", text)


def unknown(text: str, place: str = "") -> Finding:
    """Neither the fault nor a cure was seen."""
    return Finding("unknown", text, place)


_WORST_FIRST: tuple[Verdict, ...] = ("fault", "unknown", "fixed", "absent")


def worst(findings: Sequence[Finding]) -> Finding:
    """The finding that decides for all: a fault, else one that is unknown, else a cure."""
    return min(findings, key=lambda each: _WORST_FIRST.index(each.verdict))


def place(file: str, node: ast.AST) -> str:
    """`file:line` of a node."""
    return f"{file}:{getattr(node, 'lineno', 1)}"
