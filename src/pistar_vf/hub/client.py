"""Downloads through `huggingface_hub`, the extra `hub`; the one place that knows it.

What is complete here is not downloaded again, a broken connection goes on where it broke, and several processes may ask
for the same files: they wait for each other's locks. `$HF_ENDPOINT`, `$HF_TOKEN` and `$HF_HUB_OFFLINE` mean what they
mean to every program of the hub's.
"""

import dataclasses
import fnmatch
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from pistar_vf.errors import HubError
from pistar_vf.hub.files import HubFiles, hub_cache
from pistar_vf.hub.patterns import patterns_of
from pistar_vf.hub.unfinished import is_unfinished, under_way
from pistar_vf.installation import install_command


def download(files: HubFiles) -> Path:
    """Downloads what is not here yet, with progress bars on stderr.

    Without a connection, a snapshot that is here is taken as it is; a folder of one's own is an error, as nobody knows
    what it lacks.

    Args:
        files: which, and where to.

    Returns:
        The folder that holds the repository's files: `files.folder`, or a snapshot whose name is the commit.

    Raises:
        HubError: the client is not installed, the hub does not have it, wants a login, or cannot be reached.
    """
    hub = _client()
    folder: Path | None
    try:
        listing = _list(hub, files)
        with under_way(files, _cache(files)):
            folder = _snapshot(hub, files, listing.sha, allow_patterns=list(listing.patterns))
            _check_complete(folder, listing.names, files)
    except _kinds(hub) as error:
        folder = None if _is_refusal(hub, error) else _already_here(hub, files)
        if folder is None:
            raise HubError(f"{files.repository}: {_in_words(hub, error, files)}") from error
    return folder


@dataclasses.dataclass(frozen=True)
class _Listing:
    """What a revision means: its commit, the names of the wanted files, and patterns that match these alone."""

    sha: str
    names: tuple[str, ...]
    patterns: tuple[str, ...]


def _list(hub: ModuleType, files: HubFiles) -> _Listing:
    """Asks the hub, so that what is wrong is said by it: `snapshot_download` goes on with what is here."""
    api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="pistar_vf")
    info = api.repo_info(files.repository, repo_type=_kind(files), revision=files.revision)
    there = {file.rfilename for file in info.siblings}
    named, patterns = {*files.names}, files.patterns if files.names or files.patterns else ("*",)
    wanted = [name for name in sorted(there) if name in named or any(fnmatch.fnmatch(name, p) for p in patterns)]
    lacking = [name for name in files.names if name not in there] if wanted else [*files.names, *files.patterns]
    if lacking:
        raise HubError(
            f"{files.repository}: expected {', '.join(lacking[:10])}{', …' if len(lacking) > 10 else ''} at revision "
            f"{files.revision}, got none; name another revision, or ask the repository's owner"
        )
    return _Listing(info.sha, tuple(wanted), tuple(patterns_of(wanted, there)))


def _snapshot(hub: ModuleType, files: HubFiles, revision: str, **options: Any) -> Path:
    folder = hub.snapshot_download(
        files.repository,
        repo_type=_kind(files),
        revision=revision,
        local_dir=files.folder,
        cache_dir=_cache(files),
        endpoint=os.environ.get("HF_ENDPOINT") or None,
        library_name="pistar_vf",
        **options,
    )
    return Path(folder)


def _check_complete(folder: Path, names: tuple[str, ...], files: HubFiles) -> None:
    if lacking := [name for name in names if not (folder / name).is_file()]:
        raise OSError(f"{len(lacking)} files did not come, such as {lacking[0]}")


def _already_here(hub: ModuleType, files: HubFiles) -> Path | None:
    """The snapshot that is here, for who has no connection; None where there is none, or not all of it."""
    if files.folder is not None:
        return None
    try:
        folder = _snapshot(hub, files, files.revision, local_files_only=True)
    except _kinds(hub):
        return None
    whole = not is_unfinished(folder) and all((folder / name).is_file() for name in files.names)
    return folder if whole else None


def _kinds(hub: ModuleType) -> tuple[type[Exception], ...]:
    """What the client raises; of old ones, an error of the connection is one of `requests`, of new ones, of `httpx`."""
    own = [kind for kind in hub.errors.HfHubHTTPError.__mro__ if kind not in (Exception, BaseException, object)]
    return (*own, OSError, hub.errors.HFValidationError)


def _is_refusal(hub: ModuleType, error: Exception) -> bool:
    """Whether the hub answered, and said no."""
    errors: Any = hub.errors
    return isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError | errors.HFValidationError)


def _kind(files: HubFiles) -> str:
    return "dataset" if files.is_dataset else "model"


def _cache(files: HubFiles) -> Path:
    return files.cache or hub_cache()


def _client() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise HubError(
            f"expected huggingface_hub to download with, which is not installed: {install_command('hub')}"
        ) from error
    return huggingface_hub


def _in_words(hub: ModuleType, error: Exception, files: HubFiles) -> str:
    """What went wrong and what to do; the most special kind first."""
    errors: Any = hub.errors
    if isinstance(error, errors.GatedRepoError):
        return (
            f"expected access to this {_kind(files)}, got refused: its owner's terms must be accepted first, on its "
            "page on the hub; then log in with `hf auth login`, or set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"expected the revision {files.revision}, got no such branch, tag or commit; name another one"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"expected a {_kind(files)} of this name on the hub, got none; if it is private, log in with "
            "`hf auth login`, or set HF_TOKEN"
        )
    if isinstance(error, errors.HFValidationError):
        return f"expected owner/name, got a name that the hub cannot have ({_first_line(error)})"
    return (
        f"expected to download from the hub, got: {_first_line(error)}; what is complete is kept: give the command "
        f"again, or download it where there is a connection: {files.line()}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
