"""A checkout with changes on top that are not written yet."""

import contextlib
import functools
from pathlib import Path

import libcst as cst

from pistar_vf.errors import PistarError
from pistar_vf.faults.code import Code

_FOLDERS = ("src", "scripts", "gemma", "examples", "packages")
"""Where a checkout's own code is."""


class TreeError(PistarError):
    """A checkout with files that are missing or no valid Python: nothing can be said about it."""


@functools.lru_cache(maxsize=64)
def parse(source: bytes) -> cst.Module | None:
    """The syntax tree of a Python file; None where the file is no valid Python."""
    try:
        return cst.parse_module(source)
    except (cst.ParserSyntaxError, UnicodeDecodeError):
        return None


@functools.lru_cache(maxsize=512)
def _code(file: str, source: bytes) -> Code:
    return Code(file, source)


class SourceTree:
    """Files of a checkout by their POSIX paths below its root; None stands for no file.

    Attributes:
        root: the checkout; nothing is ever written to it here.
    """

    def __init__(self, root: Path, changed: dict[str, bytes | None] | None = None):
        self.root = root
        self._changed = dict(changed or {})

    @property
    def on_top(self) -> dict[str, bytes | None]:
        """The files that differ from the disk, or may."""
        return dict(self._changed)

    def copy(self) -> "SourceTree":
        """The same content; changes of one are not seen by the other."""
        return SourceTree(self.root, self._changed)

    def read(self, file: str) -> bytes | None:
        """A file's content, or None.

        Raises:
            TreeError: the file cannot be read.
        """
        if file in self._changed:
            return self._changed[file]
        path = self.root / file
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise TreeError(f"{path}: expected a file that can be read ({error.strerror})") from error

    def write(self, file: str, content: bytes) -> None:
        """Puts a file on top."""
        self._changed[file] = content

    def module(self, file: str) -> cst.Module | None:
        """A file's syntax tree, to be edited; None where there is no file or no valid Python in it."""
        content = self.read(file)
        return None if content is None else parse(content)

    def code(self, file: str) -> Code | None:
        """A file to ask; None where there is none.

        Raises:
            TreeError: the file is no valid Python.
        """
        content = self.read(file)
        if content is None:
            return None
        try:
            return _code(file, content)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            at = f":{line}" if line else ""
            raise TreeError(f"{file}{at}: expected valid Python ({getattr(error, 'msg', error)})") from error

    def located(self, file: str) -> str:
        """Where the module of a file is: Python takes a package of its name first."""
        package = f"{file.removesuffix('.py')}/__init__.py"
        return package if file.endswith(".py") and self.read(package) is not None else file

    def existing(self, file: str) -> Code:
        """A file to ask, or the package of its name; one must be there.

        Raises:
            TreeError: the file is missing or no valid Python.
        """
        code = self.code(self.located(file))
        if code is None:
            raise TreeError(f"{file}: expected this file, found none")
        return code

    def file_of(self, module: str) -> str | None:
        """The file of a module of the checkout."""
        path = module.replace(".", "/")
        names = [f"{folder}{path}{end}" for folder in ("src/", "gemma/") for end in (".py", "/__init__.py")]
        return next((name for name in names if self.read(name) is not None), None)

    def python_files(self, folder: str) -> list[str]:
        """The Python files below a folder."""
        on_disk = {path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob("*.py")}
        on_top = {file for file, content in self._changed.items() if content is not None and file.endswith(".py")}
        return sorted(on_disk | {file for file in on_top if file.startswith(f"{folder}/")})

    def spelling(self, word: str) -> list[Code]:
        """The files of the checkout in which a word stands; those that are no valid Python apart."""
        found = []
        for file in (file for folder in _FOLDERS for file in self.python_files(folder)):
            if word.encode() in (self.read(file) or b""):
                with contextlib.suppress(TreeError):
                    found.append(self.existing(file))
        return found

    def changes(self, since: "SourceTree") -> dict[str, tuple[bytes | None, bytes | None]]:
        """File to (before, after), for every file that differs from another state of the same checkout."""
        pairs = {file: (since.read(file), self.read(file)) for file in self._changed}
        return {file: pair for file, pair in pairs.items() if pair[0] != pair[1]}
