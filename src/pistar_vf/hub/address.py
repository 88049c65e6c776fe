"""`hf://owner/name[@revision]`: a dataset on the hub, in the place of a folder."""

import dataclasses
import re
from pathlib import Path

from pistar_vf.errors import ConfigError

_SCHEME = "hf://"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class HubAddress:
    """A repository on the hub, at one of its revisions.

    Attributes:
        repository: "owner/name".
        revision: a branch, a tag or a commit.
    """

    repository: str
    revision: str = "main"

    @property
    def is_pinned(self) -> bool:
        """Whether it means the same files for ever."""
        return _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return f"{_SCHEME}{self.repository}@{self.revision}"


def is_hub_address(text: str | Path) -> bool:
    """Whether it names a place on the hub instead of a folder."""
    return isinstance(text, str) and text.startswith(_SCHEME)


def is_repository(text: str) -> bool:
    """Whether it can be the name of a repository, "owner/name"."""
    return _REPOSITORY.fullmatch(text) is not None


def parse_hub_address(text: str, flag: str) -> HubAddress:
    """Reads an address.

    Args:
        text: as given.
        flag: what it was given to, for the error.

    Raises:
        ConfigError: it is none.
    """
    repository, at, revision = text.removeprefix(_SCHEME).removeprefix("datasets/").partition("@")
    if not is_hub_address(text) or not _REPOSITORY.fullmatch(repository) or (at and not revision):
        raise ConfigError(
            f"{flag} {text}: expected hf://<owner>/<name> or hf://<owner>/<name>@<revision>, a dataset on the hub with "
            "a branch, tag or commit of it"
        )
    return HubAddress(repository, revision or "main")
