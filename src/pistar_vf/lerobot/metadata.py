"""The `meta/` folder of a LeRobot dataset: finding it, parsing it, filling in its path templates."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pistar_vf.errors import DatasetError

SUPPORTED_VERSIONS = ("v2.0", "v2.1", "v3.0")


def find_dataset(data_dir: str | Path) -> Path:
    """The folder that `data_dir` means: itself, or `<org>/<name>` in the LeRobot cache.

    Raises:
        DatasetError: there is no such folder; says where it was looked for.
    """
    path = Path(data_dir).expanduser()
    tried = [path]
    if not path.is_absolute() and len(path.parts) <= 2:
        default_home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "lerobot"
        tried.append(Path(os.environ.get("HF_LEROBOT_HOME", default_home)).expanduser() / path)
    for candidate in tried:
        if candidate.is_dir():
            return candidate
    raise DatasetError(
        f"no dataset '{data_dir}'; tried {' and '.join(str(candidate.absolute()) for candidate in tried)}; pass the "
        "dataset's folder, or local/<name> or <org>/<name> under $HF_LEROBOT_HOME"
    )


def dataset_above(folder: str | Path, flag: str) -> Path:
    """The dataset that a folder such as `<dataset>/data/chunk-000` belongs to.

    Args:
        folder: the dataset's own folder, or one inside it.
        flag: what named it, for the error.

    Raises:
        DatasetError: there is no `meta/info.json` in it or above it.
    """
    start = Path(folder).expanduser().resolve()
    for candidate in (start, *start.parents):
        if (candidate / "meta" / "info.json").is_file():
            return candidate
    raise DatasetError(
        f"{flag} {folder}: expected a folder of a LeRobot dataset, such as <dataset>/data/chunk-000; found no "
        "meta/info.json in it or above it. Pass the dataset's folder with --data_dir"
    )


def read_info(root: Path) -> dict[str, Any]:
    """Parses `meta/info.json`; what may be omitted is filled in.

    Raises:
        DatasetError: the file is missing or unreadable, lacks a key, or is of an unsupported version.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise DatasetError(f"{root}: no meta/info.json; expected the root folder of a LeRobot dataset")
    info = _parse(path.read_text(encoding="utf-8"), str(path), ("codebase_version", "fps", "features", "data_path"))
    version = info["codebase_version"]
    if version not in SUPPORTED_VERSIONS:
        raise DatasetError(f"{path}: expected codebase_version {' or '.join(SUPPORTED_VERSIONS)}, got {version}")
    return {"robot_type": None, "video_path": None, "chunks_size": 1000, **info}


def read_jsonl(path: Path, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Parses a file of one JSON object a line, each of which must have `keys`; yields them one by one.

    Raises:
        DatasetError: the file is missing, or a line is not JSON or lacks a key; names the line.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; a LeRobot v2.1 dataset has it: download it again")
    # JSON strings may hold U+2028 and its like, which must not end a line.
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _parse(line, f"{path}:{number}", keys)


def fill_template(template: str, root: Path, values: Mapping[str, int | str]) -> Path:
    """The path that `data_path` or `video_path` of `meta/info.json` means.

    Args:
        template: as in `meta/info.json`.
        root: the dataset's folder.
        values: placeholder to value.

    Raises:
        DatasetError: the template has an unknown placeholder.
    """
    try:
        return root / template.format(**values)
    except (KeyError, IndexError, ValueError) as error:
        raise DatasetError(
            f"{root}/meta/info.json: cannot fill in the path '{template}'; known placeholders: {', '.join(values)}"
        ) from error


def _parse(text: str, where: str, keys: Sequence[str]) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise DatasetError(f"{where}: not valid JSON ({error}); the file is damaged, download it again") from error
    missing = [key for key in keys if key not in entry]
    if missing:
        raise DatasetError(f"{where}: expected the keys {', '.join(keys)}, but {', '.join(missing)} is missing")
    return entry
