"""The folder of a demo: emptied when it is a demo's, left alone when it is not."""

import json
import shutil
from pathlib import Path

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.errors import ConfigError

_MARKER = "demo.json"


def make_room(folder: Path) -> None:
    """An empty folder with the mark of a demo; what an earlier demo left there is removed.

    Raises:
        ConfigError: the folder holds something that is no demo's.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARKER).is_file():
        raise ConfigError(f"{folder} holds files that are no earlier demo's; pass another --demo_dir")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_scores(folder, {})


def write_scores(folder: Path, scores: dict[str, float]) -> None:
    """The demo's figures, into the file that marks the folder as a demo's."""
    write_whole(folder / _MARKER, json.dumps(scores, indent=2) + "\n")
