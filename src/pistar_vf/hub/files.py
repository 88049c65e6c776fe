"""Files on the hub that somebody lacks: the line that downloads them, and what `--download` downloads."""

import dataclasses
import glob
import os
import shlex
from pathlib import Path
from typing import TypeVar

from pistar_vf.errors import PistarError

_NAMED = 20
"""So many files a command line names one by one; of more, it takes their folders whole."""
E = TypeVar("E", bound=PistarError)


@dataclasses.dataclass(frozen=True)
class HubFiles:
    """Some files of a repository, and where they belong.

    Attributes:
        repository: "owner/name".
        names: of the files; each must be there.
        patterns: of more of them, such as "vqav2/*"; with neither, all files.
        is_dataset: whether it is a repository of data, not of a model.
        revision: a branch, a tag or a commit.
        folder: where they go; None for a snapshot in `cache`.
        cache: of snapshots; None for the hub's own.
    """

    repository: str
    names: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    is_dataset: bool = False
    revision: str = "main"
    folder: Path | None = None
    cache: Path | None = None

    def line(self) -> str:
        """The command of the hub's own client that does it."""
        named = len(self.names) <= _NAMED
        names = self.names if named else ()
        patterns = self.patterns if named else (*self.patterns, *sorted({_folder_of(name) for name in self.names}))
        included = (*names, *patterns) if patterns else ()  # the client takes names or patterns
        words = ["hf", "download", self.repository, *(() if included else names)]
        words += ["--repo-type", "dataset"] if self.is_dataset else []
        words += ["--revision", self.revision] if self.revision != "main" else []
        words += ["--include", *included] if included else []
        words += ["--local-dir", str(self.folder)] if self.folder is not None else []
        words += ["--cache-dir", str(self.cache)] if self.folder is None and self.cache is not None else []
        return shlex.join(words)


def _folder_of(name: str) -> str:
    """The pattern of a file's folder; a file that is in none is its own."""
    folder, slash, _ = name.rpartition("/")
    return f"{glob.escape(folder)}/*" if slash else name


def curable(error: E, *files: HubFiles) -> E:
    """The same error, noting what would cure it: `--download` downloads it."""
    error.downloads = files
    return error


def hub_cache() -> Path:
    """Where the hub's client keeps snapshots: `$HF_HUB_CACHE`, else in `$HF_HOME`."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()


def lerobot_home() -> Path:
    """Where LeRobot keeps datasets: `$HF_LEROBOT_HOME`, else in `$HF_HOME`."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "lerobot"
    return Path(os.environ.get("HF_LEROBOT_HOME", home)).expanduser()
