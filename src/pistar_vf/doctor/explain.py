"""Finds what docs/failures.md says about an error message, without a network.

Messages carry paths, numbers and names that the page cannot know, so an entry is found by the words it shares with the
message: rare words count for more than common ones.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path

from pistar_vf.errors import ConfigError

_BESIDE_THE_SOURCE = Path(__file__).resolve().parents[3] / "docs" / "failures.md"
_IN_THE_PACKAGE = Path(__file__).resolve().parents[1] / "docs" / "failures.md"
_ENOUGH = 0.5
"""Share of an entry's words, rare ones counting for more, that must be in the message."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of the page.

    Attributes:
        section: its heading.
        message: what is seen.
        advice: what to do.
    """

    section: str
    message: str
    advice: str


def read_entries(path: Path | None = None) -> tuple[Entry, ...]:
    """All rows of the page.

    Raises:
        ConfigError: the page is not there.
    """
    path = path or next((p for p in (_BESIDE_THE_SOURCE, _IN_THE_PACKAGE) if p.is_file()), _IN_THE_PACKAGE)
    if not path.is_file():
        raise ConfigError(f"expected the page of error messages at {path}, found none; install the library again")
    return tuple(_rows(path.read_text(encoding="utf-8")))


def explain(message: str, entries: tuple[Entry, ...], most: int = 3) -> list[Entry]:
    """The entries that fit a message, best first; none where nothing fits.

    Args:
        message: the error as it was printed, or a part of it.
        entries: from `read_entries`.
        most: entries to give at the most.
    """
    frequency = collections.Counter(word for entry in entries for word in _words(entry.message))
    given = _words(message)

    def weight(words: set[str]) -> float:
        return math.fsum(math.log(1 + len(entries) / (1 + frequency[word])) for word in words)

    scored = []
    for entry in entries:
        own = _words(entry.message)
        shared = weight(own & given)
        # Part of a message must find its entry as well as a whole message with paths in it.
        share = max(shared / max(weight(own), 1e-9), shared / max(weight(given), 1e-9))
        if len(own & given) >= min(2, len(own)) and share >= _ENOUGH:
            scored.append((share * shared, entry))
    return [entry for _, entry in sorted(scored, key=lambda pair: -pair[0])[:most]]


def _rows(text: str) -> Iterator[Entry]:
    section = ""
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ").strip()
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 2 and not set(cells[0]) <= set("-| ") and cells[0] != "message":
            yield Entry(section, *cells)


def _words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Za-z_]{3,}", text)}
