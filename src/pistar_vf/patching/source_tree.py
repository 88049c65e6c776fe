"""A checkout with changes on top that are not written yet."""

import functools
from pathlib import Path

import libcst as cst


@functools.lru_cache(maxsize=64)
def parse(source: bytes) -> cst.Module | None:
    """The syntax tree of a Python file; None where the file is no valid Python."""
    try:
        return cst.parse_module(source)
    except (cst.ParserSyntaxError, UnicodeDecodeError):
        return None


class SourceTree:
    """Files of a checkout by their POSIX paths below its root; None stands for no file.

    Attributes:
        root: the checkout; nothing is ever written to it here.
    """

    def __init__(self, root: Path, changed: dict[str, bytes | None] | None = None):
        self.root = root
        self._changed = dict(changed or {})

    def copy(self) -> "SourceTree":
        """The same content; changes of one are not seen by the other."""
        return SourceTree(self.root, self._changed)

    def read(self, file: str) -> bytes | None:
        """A file's content, or None."""
        if file in self._changed:
            return self._changed[file]
        path = self.root / file
        return path.read_bytes() if path.is_file() else None

    def write(self, file: str, content: bytes) -> None:
        """Puts a file on top."""
        self._changed[file] = content

    def module(self, file: str) -> cst.Module | None:
        """A file's syntax tree; None where there is no file or no valid Python in it."""
        content = self.read(file)
        return None if content is None else parse(content)

    def changes(self, since: "SourceTree") -> dict[str, tuple[bytes | None, bytes | None]]:
        """File to (before, after), for every file that differs from another state of the same checkout."""
        pairs = {file: (since.read(file), self.read(file)) for file in self._changed}
        return {file: pair for file, pair in pairs.items() if pair[0] != pair[1]}
