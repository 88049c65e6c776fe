"""docs/failures.md quotes messages that the code really says."""

import ast
import functools
import re

import pytest
from support.places import ROOT

from pistar_vf.doctor.explain import read_entries

_NOT_OURS = "documented trainer"
"""In the heading of the rows about what others say."""
_SEEN = ("garbage or abort",)
"""Of rows about what is seen rather than said."""


@functools.cache
def said() -> tuple[frozenset[str], ...]:
    """The words of every text in the code but docstrings, the parts of an f-string together."""
    found = set()
    for path in (ROOT / "src" / "pistar_vf").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if id(node) in docstrings:
                continue
            if isinstance(node, ast.JoinedStr):
                found.add(" ".join(part.value for part in node.values if isinstance(part, ast.Constant)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return tuple(frozenset(_words(text)) for text in found)


def _words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Za-z_-]{3,}", text)}


def _fragments(message: str) -> list[set[str]]:
    """The words of each piece between what differs from case to case."""
    return [_words(piece) for piece in re.split(r"…| / |WARNING:", message)]


ENTRIES = [
    entry
    for entry in read_entries()
    if _NOT_OURS not in entry.section.lower() and not any(words in entry.message for words in _SEEN)
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.message[:60])
def test_the_message_is_in_the_code(entry):
    assert any(_fragments(entry.message))
    for wanted in _fragments(entry.message):
        best = max(said(), key=lambda words: len(words & wanted))
        assert wanted <= best, f"no text of the code has all of these words; the nearest lacks {wanted - best}"


def test_every_row_is_in_a_table():
    """A row after an empty line, without a header, is shown as it was typed."""
    blocks = re.split(r"\n\s*\n", (ROOT / "docs" / "failures.md").read_text(encoding="utf-8"))
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) >= 5
    assert [lines[0] for lines in tables if not lines[1:] or not lines[1].startswith("|---")] == []
