"""Datasets of the hub, in LeRobot's own cache: metadata first, then the files of the episodes in use.

`$HF_LEROBOT_HOME/hub/datasets--<owner>--<name>/snapshots/<commit>`, where LeRobot 0.5 and newer look for them too. A
snapshot is only ever read: every revision has one of its own, and its files may be links to those of another.
"""

from collections.abc import Iterable
from pathlib import Path

from pistar_vf.errors import DatasetError, HubError
from pistar_vf.hub.address import HubAddress
from pistar_vf.hub.client import download
from pistar_vf.hub.files import HubFiles, lerobot_home
from pistar_vf.hub.revision import repository_name, snapshot_above, snapshot_folder
from pistar_vf.hub.unfinished import is_unfinished

_META = "meta/*"


def metadata_from_hub(address: HubAddress) -> Path:
    """Downloads `meta/`, which is small, and says what else there is.

    Returns:
        The dataset's folder; its name is the commit that the revision means now.

    Raises:
        DatasetError: see `download`.
    """
    if address.is_pinned:
        here = snapshot_folder(address, lerobot_home() / "hub")
        if (here / "meta" / "info.json").is_file() and not is_unfinished(here):
            return here
    return _download(address, ("meta/info.json",), (_META,))


def files_from_hub(address: HubAddress, root: Path, files: Iterable[Path]) -> None:
    """Downloads those of a dataset's files that are not here, at the commit of its metadata.

    Args:
        address: of the dataset.
        root: its folder, from `metadata_from_hub`.
        files: below it.

    Raises:
        DatasetError: see `download`; or the dataset lacks one of them.
    """
    names = sorted({file.relative_to(root).as_posix() for file in files if not file.is_file()})
    if names:
        _download(HubAddress(address.repository, root.name), tuple(names), ())


def everything_from_hub(address: HubAddress) -> Path:
    """Downloads all tables and videos; for who wants to know whether they are there.

    Raises:
        DatasetError: see `download`.
    """
    root = metadata_from_hub(address)
    return _download(HubAddress(address.repository, root.name), (), (_META, "data/*", "videos/*"))


def dataset_name(root: Path) -> str:
    """What a dataset is called: as its folder, or in a cache of the hub, as its repository."""
    snapshot = snapshot_above(root)
    return root.resolve().name if snapshot is None else repository_name(snapshot)


def _download(address: HubAddress, names: tuple[str, ...], patterns: tuple[str, ...]) -> Path:
    wanted = HubFiles(
        address.repository,
        names,
        patterns,
        is_dataset=True,
        revision=address.revision,
        cache=lerobot_home() / "hub",
    )
    try:
        return download(wanted)
    except HubError as error:
        raise DatasetError(str(error)) from error
