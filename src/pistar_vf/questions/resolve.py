"""Where question-answer data is: a path, or a dataset's name in the local Hugging Face caches."""

import os
from pathlib import Path

from pistar_vf.errors import DatasetError


def find_vqa_data(data: str, subset: str | None = None) -> Path:
    """The file or folder that a name means; nothing is downloaded.

    Args:
        data: a path, or a name such as "HuggingFaceM4/the_cauldron".
        subset: a folder of it, such as "vqav2".

    Raises:
        DatasetError: there is nothing; lists where it was looked for.
    """
    tried = [folder / subset if subset else folder for folder in _places(data)]
    for path in tried:
        if path.exists():
            return path
    raise DatasetError(
        f"no question-answer data '{data}'{f', subset {subset!r}' if subset else ''}; tried "
        f"{', '.join(map(str, tried))}. Download it first (hf download {data} --repo-type dataset"
        f"{f' --include {subset}/*' if subset else ''}), or pass the folder or file"
    )


def _places(data: str) -> list[Path]:
    """The path itself, snapshots of the hub's cache (newest first), and the cache of the `datasets` package."""
    path = Path(data).expanduser()
    places = [path]
    if not path.is_absolute() and data.count("/") == 1:
        home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
        hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / f"datasets--{data.replace('/', '--')}" / "snapshots"
        snapshots = sorted(hub.glob("*"), key=lambda snapshot: snapshot.stat().st_mtime, reverse=True)
        datasets = Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets")) / data.replace("/", "___")
        places += [*(snapshots or [hub]), datasets]
    return places
