"""Downloads that were stopped: what they left is not taken for all there is."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pistar_vf.hub.files import HubFiles
from pistar_vf.hub.revision import snapshot_above

_MARK = "pistar_vf.unfinished"
_OWN = Path(".cache", "huggingface")
"""Where the hub's client keeps its own records in a folder that it downloads into."""


@contextlib.contextmanager
def under_way(files: HubFiles, cache: Path) -> Iterator[None]:
    """Marks the place of a download until the block ends without an error.

    Args:
        files: what is downloaded.
        cache: of snapshots, for files without a folder.
    """
    kind = "datasets" if files.is_dataset else "models"
    folder = cache / f"{kind}--{files.repository.replace('/', '--')}" if files.folder is None else files.folder / _OWN
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text(files.line() + "\n", encoding="utf-8")
    yield
    (folder / _MARK).unlink(missing_ok=True)  # another process may have been faster


def is_unfinished(path: Path) -> bool:
    """Whether a file or folder is of a download that was stopped; `hf download` and people leave no such mark."""
    path = Path(path).absolute()
    snapshot = snapshot_above(path)
    if snapshot is not None:
        return (snapshot.parent.parent / _MARK).is_file()
    return any((folder / _OWN / _MARK).is_file() for folder in (path, *path.parents))
