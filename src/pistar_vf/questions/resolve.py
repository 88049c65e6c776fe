"""Where question-answer data is: a path, a dataset's name in the Hugging Face caches, or an address of the hub."""

import dataclasses
import os
from pathlib import Path

from pistar_vf.errors import DatasetError, HubError
from pistar_vf.hub.address import HubAddress, is_hub_address, is_repository, parse_hub_address
from pistar_vf.hub.client import download
from pistar_vf.hub.files import HubFiles, curable, hub_cache
from pistar_vf.hub.unfinished import is_unfinished

_USUAL = {
    "HuggingFaceM4/the_cauldron": ("vqav2/*",),
    "liuhaotian/LLaVA-Instruct-150K": ("llava_instruct_150k.json",),
}
"""What of a large dataset is meant where no subset is named."""
_PICTURES = {
    "liuhaotian/LLaVA-Instruct-150K": "; its pictures are COCO's train2017, which are not on the hub: get them from "
    "COCO, and name their folder with --image_dir"
}


def find_vqa_data(data: str, subset: str | None = None) -> Path:
    """The file or folder that a name means; only an address downloads.

    Args:
        data: a path, a name such as "HuggingFaceM4/the_cauldron", or an address such as hf://<owner>/<name>@<revision>.
        subset: a folder or file of it, such as "vqav2".

    Raises:
        DatasetError: there is nothing; lists where it was looked for.
    """
    if is_hub_address(data):
        return _from_hub(parse_hub_address(data, "--dataset_name"), subset)
    tried = [folder / subset if subset else folder for folder in _places(data)]
    for path in tried:
        if path.exists() and not is_unfinished(path):
            return path
    files = _files(data, subset)
    how = "" if files is None else f"Download it first ({files.line()}), or "
    error = DatasetError(
        f"no question-answer data '{data}'{f', subset {subset!r}' if subset else ''}; tried "
        f"{', '.join(map(str, tried))}. {how}pass the folder or file{_PICTURES.get(data, '')}"
    )
    raise error if files is None else curable(error, files)


def _from_hub(address: HubAddress, subset: str | None) -> Path:
    """The snapshot of an address, or the subset in it; downloaded where it is not here."""
    files = _files(address.repository, subset)
    assert files is not None  # an address has a repository
    try:
        folder = download(dataclasses.replace(files, revision=address.revision))
    except HubError as error:
        raise DatasetError(str(error)) from error
    return folder / subset if subset else folder


def _files(data: str, subset: str | None) -> HubFiles | None:
    """Those of a name, as far as they are questions of one kind; None where it cannot be a name on the hub."""
    if not is_repository(data):
        return None
    if subset is not None and Path(subset).suffix:
        return HubFiles(data, (subset,), is_dataset=True)
    patterns = (f"{subset}/*",) if subset else _USUAL.get(data, ())
    return HubFiles(data, patterns=patterns, is_dataset=True)


def _places(data: str) -> list[Path]:
    """The path itself, snapshots of the hub's cache (newest first), and the cache of the `datasets` package."""
    path = Path(data).expanduser()
    places = [path]
    if not path.is_absolute() and data.count("/") == 1:
        home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
        hub = hub_cache() / f"datasets--{data.replace('/', '--')}" / "snapshots"
        snapshots = sorted(hub.glob("*"), key=lambda snapshot: snapshot.stat().st_mtime, reverse=True)
        datasets = Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets")) / data.replace("/", "___")
        places += [*(snapshots or [hub]), datasets]
    return places
