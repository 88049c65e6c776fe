"""Which commit of the hub a file here is of, as the hub's client wrote it down; nothing is asked of the hub."""

import re
from pathlib import Path

from pistar_vf.hub.address import HubAddress

_COMMIT = re.compile(r"[0-9a-f]{40}")
_RECORDS = Path(".cache", "huggingface", "download")
"""Where a download into a folder of one's own keeps a record of every file."""


def commit_of(path: Path) -> str | None:
    """The commit that a file, or a folder of files, was downloaded at.

    Args:
        path: in a snapshot (`…/snapshots/<commit>/…`), or in a folder that was downloaded into.

    Returns:
        40 hexadecimal digits; None for what is not from the hub, and for files of several commits.
    """
    path = Path(path).expanduser().absolute()
    snapshot = snapshot_above(path)
    if snapshot is not None:
        return snapshot.name
    commits = {record.read_text(encoding="utf-8").split("\n", 1)[0].strip() for record in _records(path)}
    return commits.pop() if len(commits) == 1 and _COMMIT.fullmatch(next(iter(commits))) else None


def snapshot_above(path: Path) -> Path | None:
    """The snapshot of a hub's cache that a path lies in, or is: `<cache>/datasets--owner--name/snapshots/<commit>`."""
    path = Path(path).absolute()
    for folder in (path, *path.parents):
        if folder.parent.name == "snapshots" and "--" in folder.parent.parent.name and _COMMIT.fullmatch(folder.name):
            return folder
    return None


def snapshot_folder(address: HubAddress, cache: Path) -> Path:
    """Where a cache keeps the files of a dataset's commit, whether it has any or not."""
    return cache / f"datasets--{address.repository.replace('/', '--')}" / "snapshots" / address.revision


def is_in_cache(path: Path) -> bool:
    """Whether a file or folder is, or would be, in a cache of the hub, whose content is only ever read."""
    path = Path(path).absolute()
    return any(folder.name.startswith(("datasets--", "models--")) for folder in (path, *path.parents))


def repository_name(snapshot: Path) -> str:
    """The name of a snapshot's repository, without its owner."""
    return snapshot.parent.parent.name.rsplit("--", 1)[-1]


def _records(path: Path) -> list[Path]:
    """Those of a file, or of all files in a folder."""
    for folder in (path, *path.parents):
        records = folder / _RECORDS
        if records.is_dir():
            own = records / path.relative_to(folder)
            one = own.with_name(f"{own.name}.metadata")
            return [one] if one.is_file() else sorted(own.rglob("*.metadata"))
    return []
