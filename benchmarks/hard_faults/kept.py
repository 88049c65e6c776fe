"""What is in folders, and whether two of them hold the same."""

import json
from pathlib import Path
from typing import TypeAlias

Files: TypeAlias = dict[str, bytes]
"""Path relative to a folder to content; a file instead of a folder is under its own name."""
_PARTIAL = ".partial"
"""In the names of what a killed program leaves and its users may delete."""


def files_of(path: Path, without: tuple[str, ...] = ()) -> Files | None:
    """Every file of a folder; None where there is none. Left out: backups and locks, and folders of some names."""
    if not path.exists():
        return None
    if path.is_file():
        return {path.name: path.read_bytes()}
    hidden = {".pistar_vf", *without}
    found = (each for each in sorted(path.rglob("*")) if each.is_file())
    named = {each.relative_to(path): each for each in found}
    return {name.as_posix(): each.read_bytes() for name, each in named.items() if not hidden & set(name.parts)}


def differences(found: Files, expected: Files) -> list[str]:
    """Names of files that are missing, too many or of other content."""
    names = sorted(found.keys() ^ expected.keys())
    return names + [name for name in sorted(found.keys() & expected.keys()) if not same(name, found, expected)]


def same(name: str, found: Files, expected: Files) -> bool:
    """Equal bytes; of tables, equal rows, and of JSON the same keys: both may tell the time of their writing."""
    if found[name] == expected[name]:
        return True
    if name.endswith(".parquet"):
        return _table(found[name]).equals(_table(expected[name]))
    if name.endswith(".json"):
        return _keys(found[name]) == _keys(expected[name])
    return name.endswith(".html") and found[name].rstrip().endswith(b"</html>")


def _table(content: bytes) -> "pyarrow.Table":  # noqa: F821
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(content), use_threads=False)


def _keys(content: bytes) -> object:
    try:
        read = json.loads(content)
    except ValueError:
        return "not JSON"
    return sorted(read) if isinstance(read, dict) else type(read)


def partial_folders(folder: Path) -> list[str]:
    """What killed commands left beside their results."""
    return sorted(path.name for path in folder.iterdir() if _PARTIAL in path.name)
