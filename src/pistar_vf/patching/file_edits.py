"""Edits of whole files. Each changes a `SourceTree`, or leaves it as it is where done."""

import importlib.metadata
from pathlib import Path

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.syntax import AnchorError


def add_file(tree: SourceTree, folder: Path, file: str, content: str) -> None:
    """A file of ours.

    Args:
        tree: receives it.
        folder: holds `content`.
        file: its name in the tree.
        content: its name in the patch set.
    """
    new, old = (folder / content).read_bytes(), tree.read(file)
    if old is None:
        tree.write(file, new)
    elif old != new:
        raise AnchorError(f"{file} is there already, but another one")


def add_line(tree: SourceTree, folder: Path, file: str, line: str) -> None:
    """A line at the end of a text file, which is created where it is missing."""
    del folder
    old = tree.read(file) or b""
    if line in old.decode().splitlines():
        return
    end = b"\r\n" if b"\r\n" in old else b"\n"
    separator = end if old and not old.endswith(b"\n") else b""
    tree.write(file, old + separator + line.encode() + end)


def add_package(tree: SourceTree, folder: Path, file: str, distribution: str, version: str, content: str) -> None:
    """A package that an installed distribution has at the same place, else our smaller one.

    Args:
        tree: receives it.
        folder: holds `content`.
        file: the package's folder in the tree; its last three parts are where the distribution has it.
        distribution: where to look first.
        version: of the distribution; another one is left alone.
        content: folder of our own package.
    """
    installed = _installed(distribution, version, "/".join(file.split("/")[-3:]))
    ours = {path.name: path.read_bytes() for path in sorted((folder / content).glob("*.py"))}
    there = tree.read(f"{file}/__init__.py")
    if there is None:
        for name, source in (installed or ours).items():
            tree.write(f"{file}/{name}", source)
    elif not any(_same(tree, file, each) for each in (ours, installed) if each):
        raise AnchorError(f"{file} is there already, but another one")


def _installed(distribution: str, version: str, package: str) -> dict[str, bytes]:
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return {}
    if found.version != version:
        return {}
    return {path.name: path.read_bytes() for path in sorted(Path(str(found.locate_file(package))).glob("*.py"))}


def _same(tree: SourceTree, file: str, sources: dict[str, bytes]) -> bool:
    return all(tree.read(f"{file}/{name}") == source for name, source in sources.items())
