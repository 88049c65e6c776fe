"""Patterns for the hub's client that mean some files of a repository, as few as can be."""

import glob
from collections import Counter
from collections.abc import Collection
from pathlib import PurePosixPath


def patterns_of(wanted: Collection[str], there: Collection[str]) -> list[str]:
    """Patterns that some of a repository's files match, and no others; a folder that is wanted whole is one pattern.

    The client compares every file with every pattern: with a pattern for each of 8000 files, that takes minutes.

    Args:
        wanted: names of files.
        there: names of all files of the repository.
    """
    lacking = Counter(folder for name in there for folder in PurePosixPath(name).parents)
    lacking.subtract(folder for name in wanted for folder in PurePosixPath(name).parents)
    patterns = set()
    for name in wanted:
        whole = [folder for folder in PurePosixPath(name).parents if not lacking[folder]]
        patterns.add(_everything_in(whole[-1]) if whole else glob.escape(name))
    return sorted(patterns)


def _everything_in(folder: PurePosixPath) -> str:
    return "*" if folder == PurePosixPath() else f"{glob.escape(str(folder))}/*"
