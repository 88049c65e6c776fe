"""Tells from what is on disk which kind of question-answer data it is."""

from collections import Counter
from pathlib import Path

from pistar_vf.errors import DatasetError
from pistar_vf.questions.json_source import JsonSource
from pistar_vf.questions.sample import VqaSource
from pistar_vf.questions.table_source import WINDOW_BYTES, ArrowSource, ParquetSource

_LAYOUTS = (
    "a folder of parquet or arrow files with the columns 'images' and 'texts' (The Cauldron, or a datasets cache), or "
    "one .json or .jsonl file of entries with 'image' and 'conversations' (LLaVA), or 'image', 'question' and 'answer'"
)
# What `datasets` writes beside its arrow files.
_METADATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


def open_vqa_source(
    path: str | Path, *, image_dir: str | Path | None = None, window_bytes: int = WINDOW_BYTES
) -> VqaSource:
    """Opens local question-answer data.

    Args:
        path: a file, or a folder that is searched with all folders in it; every parquet file, else every arrow file,
            else the one JSON file.
        image_dir: where the pictures of a JSON file are; None for the file's own folder.
        window_bytes: about how much of parquet files to shuffle among, see `ParquetSource`.

    Raises:
        DatasetError: there is nothing, or nothing that is known; lists what there is.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder; expected {_LAYOUTS}")
    files = _files_by_suffix(path)
    if parquet := files.get(".parquet"):
        return ParquetSource(path, parquet, window_bytes)
    # `datasets` keeps the results of its own operations as cache-*.arrow, beside what they were made of.
    if arrow := [file for file in files.get(".arrow", ()) if not file.name.startswith("cache-")]:
        return ArrowSource(path, arrow)
    entries = [f for kind in (".json", ".jsonl") for f in files.get(kind, ()) if f.name not in _METADATA]
    if len(entries) > 1:
        raise DatasetError(f"{path}: expected one .json or .jsonl file, got {[f.name for f in entries]}; name the file")
    if not entries:
        counts = Counter({suffix or "no suffix": len(found) for suffix, found in files.items()})
        found = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(8)) or "an empty folder"
        raise DatasetError(f"{path}: expected {_LAYOUTS}; got {found}")
    return JsonSource(entries[0], entries[0].parent if image_dir is None else Path(image_dir).expanduser())


def _files_by_suffix(path: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for file in [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file()):
        files.setdefault(file.suffix, []).append(file)
    return files
