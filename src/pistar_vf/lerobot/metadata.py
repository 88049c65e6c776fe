"""The `meta/` folder of a LeRobot dataset: finding it, parsing it, filling in its path templates."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pistar_vf.errors import DatasetError
from pistar_vf.foreign_files import read_lines, read_text, single_keys
from pistar_vf.hub.address import is_hub_address, parse_hub_address
from pistar_vf.hub.files import lerobot_home
from pistar_vf.lerobot.from_hub import metadata_from_hub
from pistar_vf.lerobot.typed_values import is_missing, mapping, number, shown, text, whole_number

SUPPORTED_VERSIONS = ("v2.0", "v2.1", "v3.0")


def find_dataset(data_dir: str | Path) -> Path:
    """The folder that `data_dir` means: itself, `<org>/<name>` in the LeRobot cache, or a snapshot of an address.

    Of `hf://<owner>/<name>[@<revision>]` the metadata are downloaded, see `from_hub`.

    Raises:
        DatasetError: there is no such folder; says where it was looked for.
    """
    if is_hub_address(data_dir):
        return metadata_from_hub(parse_hub_address(str(data_dir), "--data_dir"))
    path = Path(data_dir).expanduser()
    tried = [path]
    if not path.is_absolute() and len(path.parts) <= 2:
        tried.append(lerobot_home() / path)
    for candidate in tried:
        if candidate.is_dir():
            return candidate
    raise DatasetError(
        f"no dataset '{data_dir}'; tried {' and '.join(str(candidate.absolute()) for candidate in tried)}; pass the "
        "dataset's folder, or local/<name> or <org>/<name> under $HF_LEROBOT_HOME, or hf://<owner>/<name> to download "
        "the files in use"
    )


def dataset_above(folder: Path) -> Path | None:
    """The dataset that a folder such as `<dataset>/data/chunk-000` belongs to, or is; None where there is none."""
    start = folder.expanduser().resolve()
    return next((above for above in (start, *start.parents) if (above / "meta" / "info.json").is_file()), None)


def read_info(root: Path) -> dict[str, Any]:
    """Parses `meta/info.json`: every key that this library uses has its type; what may be omitted is filled in.

    Raises:
        DatasetError: the file is missing or unreadable, lacks a key or holds another type, or is of an unsupported
            version.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise DatasetError(f"{root}: no meta/info.json; expected the root folder of a LeRobot dataset")
    raw = _parse(read_text(path), str(path), ("codebase_version", "fps", "features", "data_path"))
    version = _version(raw["codebase_version"], str(path))
    if (kind := raw.get("storage_format")) not in (None, "", "parquet"):
        raise DatasetError(
            f"{path}: expected tables in parquet files, got storage_format {shown(kind)}; export the dataset with "
            "LeRobot in the parquet format"
        )
    return {**raw, **_typed_info(raw, str(path)), "codebase_version": version}


def video_features(info: Mapping[str, Any]) -> list[str]:
    """The features that are stored as video files; none where there is no path to them, which is told when one is
    asked for.
    """
    if info["video_path"] is None:
        return []
    return [key for key, feature in info["features"].items() if feature["dtype"] == "video"]


def _version(value: Any, where: str) -> str:
    """`2.1` and `"2.1"` are "v2.1"."""
    spelled = str(value) if isinstance(value, float) else text(value, where, "codebase_version")
    version = f"v{spelled.strip().lower().removeprefix('v')}"
    if version not in SUPPORTED_VERSIONS:
        raise DatasetError(f"{where}: expected codebase_version {' or '.join(SUPPORTED_VERSIONS)}, got {spelled}")
    return version


def _typed_info(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    fps = number(raw["fps"], where, "fps")
    if fps <= 0:
        raise DatasetError(f"{where}: key 'fps': expected a number above 0, got {shown(raw['fps'])}")
    info: dict[str, Any] = {
        "fps": fps,
        "features": _features(mapping(raw["features"], where, "features"), where),
        "data_path": _inside(text(raw["data_path"], where, "data_path"), where, "data_path"),
        "chunks_size": 1000,
    }
    for key in ("robot_type", "video_path"):
        info[key] = None if is_missing(raw.get(key)) else text(raw[key], where, key)
    if info["video_path"] is not None:
        _inside(info["video_path"], where, "video_path")
    for key, minimum in (("chunks_size", 1), ("total_frames", 0), ("total_episodes", 0), ("total_tasks", 0)):
        if not is_missing(raw.get(key)):
            info[key] = whole_number(raw[key], where, key, minimum)
        elif key in raw and key != "chunks_size":
            info[key] = None
    return info


def _inside(template: str, where: str, key: str) -> str:
    """Refuses the path of a place that is not in the dataset."""
    parts = PurePosixPath(template.strip()).parts
    if not parts or parts[0] == "/" or ".." in parts or PureWindowsPath(template).drive:
        raise DatasetError(
            f"{where}: key '{key}': expected a path below the dataset's folder, such as 'data/…', got '{template}'"
        )
    return template


def _features(features: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Every feature an object with a `dtype`; a `shape`, where there is one, a list of whole numbers."""
    typed = {}
    for name, feature in features.items():
        key = f"features.{name}"
        feature = dict(mapping(feature, where, key))
        feature["dtype"] = text(feature.get("dtype"), where, f"{key}.dtype")
        if is_missing(feature.get("shape")):
            feature.pop("shape", None)
        else:
            shape = feature["shape"] if isinstance(feature["shape"], (list, tuple)) else [feature["shape"]]
            feature["shape"] = [whole_number(size, where, f"{key}.shape", 0) for size in shape]
        for about in ("info", "video_info"):
            if not is_missing(feature.get(about)):
                mapping(feature[about], where, f"{key}.{about}")
        typed[text(name, where, "features")] = feature
    return typed


def read_jsonl(path: Path, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Parses a file of one JSON object a line, each of which must have `keys`; yields them one by one.

    Yields:
        (file and line, for errors about its values; the object).

    Raises:
        DatasetError: the file is missing, or a line is not JSON or lacks a key; names the line.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; a LeRobot v2.1 dataset has it: download it again")
    for row, line in enumerate(read_lines(path), start=1):
        if line.strip():
            where = f"{path}:{row}"
            yield where, _parse(line, where, keys)


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
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise DatasetError(
            f"{root}/meta/info.json: cannot fill in the path '{template}'; known placeholders: {', '.join(values)}"
        ) from error


def _parse(content: str, where: str, keys: Sequence[str]) -> dict[str, Any]:
    try:
        entry = json.loads(content, object_pairs_hook=single_keys)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: not valid JSON ({error}); the file is damaged, download it again") from error
    if not isinstance(entry, dict):
        raise DatasetError(f"{where}: expected an object with the keys {', '.join(keys)}, got {shown(entry)}")
    missing = [key for key in keys if key not in entry]
    if missing:
        raise DatasetError(f"{where}: expected the keys {', '.join(keys)}, but {', '.join(missing)} is missing")
    return entry
