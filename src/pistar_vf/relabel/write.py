"""Labels into a dataset: a new one beside it, the same one with an undo, or files of their own for other programs."""

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pistar_vf.changes.staging import check_output, files_below, link_or_copy, staged_folder
from pistar_vf.changes.transaction import Transaction
from pistar_vf.errors import DatasetError
from pistar_vf.foreign_files import object_of, read_text
from pistar_vf.lerobot import v21
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.parquet import open_parquet
from pistar_vf.lerobot.rewrite import file_metadata, replace_columns
from pistar_vf.progress import progress_bar
from pistar_vf.relabel.label import KEPT, WORDS, Labels
from pistar_vf.typing import Shaped

PROVENANCE = b"pistar_vf_labels"
"""Key of the parquet metadata that says where labels come from."""
_INFO = Path("meta", "info.json")


def label_provenance(dataset: LeRobotDataset) -> dict[str, Any]:
    """What was written about where a dataset's labels come from; empty for labels from elsewhere.

    Raises:
        DatasetError: it is damaged.
    """
    path = dataset.episodes[0].parquet
    return read_provenance(file_metadata(path), path)


def read_provenance(metadata: Mapping[bytes, bytes], path: Path) -> dict[str, Any]:
    """The same from a file's metadata.

    Raises:
        DatasetError: it is damaged.
    """
    return object_of(metadata.get(PROVENANCE, b"{}"), f"{path}, metadata", "the source of its labels")


@dataclasses.dataclass(frozen=True)
class NewWords:
    """The indicator column of a dataset, as it is and as it shall be.

    Attributes:
        column: its name.
        before: words of all frames; "none" where there is no such column.
        after: words of all frames.
    """

    column: str
    before: Shaped[np.ndarray, " t"]
    after: Shaped[np.ndarray, " t"]

    @classmethod
    def of(cls, dataset: LeRobotDataset, labels: Labels, column: str) -> "NewWords":
        """Reads the words that are there; demonstrations without any become positive.

        Raises:
            DatasetError: the column holds something other than words.
        """
        before = np.full(dataset.num_frames, "none", object)
        if column in dataset.columns:
            before = dataset.read_column(column)
        if before.dtype.kind not in "OU" or before.ndim != 1:
            raise DatasetError(f"{dataset.root}: column '{column}': expected words, got {before.dtype}")
        kept = np.where(before == "none", "positive", before)
        after = np.where(
            labels.code == KEPT, kept, np.array(WORDS, object)[np.where(labels.code == KEPT, 0, labels.code)]
        )
        return cls(column, before, after)

    def diff(self) -> str:
        """How many frames go from which word to which, most first."""
        pairs = Counter(zip(self.before.tolist(), self.after.tolist()))
        lines = [f"  {old:>8} → {new:<8} {count:>9,} frames" for (old, new), count in pairs.most_common()]
        changed = int((self.before != self.after).sum())
        return "\n".join([f"{self.column}: {changed:,} of {len(self.after):,} frames change", *lines])


def write_new_dataset(
    dataset: LeRobotDataset, words: NewWords, provenance: Mapping[str, Any], output_dir: Path, *, progress: bool = True
) -> None:
    """A copy with the new column; it appears whole or not at all. Videos are hard links, the source is only read.

    Raises:
        DatasetError: `output_dir` is not new or lies in the dataset.
    """
    check_output(dataset.root, output_dir)
    tables = _tables(dataset)
    with staged_folder(output_dir) as folder:
        for path in progress_bar(list(files_below(dataset.root)), desc="write", unit=" files", disable=not progress):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if path in tables:
                _write_table(dataset.root / path, target, _words_of(tables[path], words), words.column, provenance)
            elif path == _INFO:
                target.write_text(_info_with_column(dataset, words.column), encoding="utf-8")
            elif path.parts[0] == "videos":
                link_or_copy(dataset.root / path, target)
            else:
                shutil.copy2(dataset.root / path, target)  # small, and other programs may write to it


def write_in_place(
    dataset: LeRobotDataset, words: NewWords, provenance: Mapping[str, Any], *, progress: bool = True
) -> int:
    """Replaces the tables that change, all or none, with a backup for `pistar-vf undo`.

    Returns:
        Number of files that changed; 0 where all of them hold these labels from this source already.

    Raises:
        DatasetError: another writer is at work, or a file cannot be replaced safely.
    """
    tables = _tables(dataset)
    stale = [
        path for path in tables if not _is_current(dataset, path, _words_of(tables[path], words), words, provenance)
    ]
    new_info = _info_with_column(dataset, words.column)
    info_changes = new_info != read_text(dataset.root / _INFO)
    if not stale and not info_changes:
        return 0
    with Transaction(dataset.root, "relabel", summary=provenance, progress=progress) as transaction:
        for path in progress_bar(stale, desc="stage", unit=" files", disable=not progress):
            target = transaction.stage(path)
            _write_table(dataset.root / path, target, _words_of(tables[path], words), words.column, provenance)
        if info_changes:
            transaction.stage(_INFO).write_text(new_info, encoding="utf-8")
        transaction.commit(verify=_nothing_else_changed(dataset, words.column))
    return len(stale) + info_changes


def _tables(dataset: LeRobotDataset) -> dict[Path, tuple[Episode, ...]]:
    """The parquet files, relative to the dataset, and whose rows are in each."""
    return {path.relative_to(dataset.root): episodes for path, episodes in dataset.files().items()}


def _words_of(episodes: Sequence[Episode], words: NewWords) -> np.ndarray:
    """The column of one file."""
    return np.concatenate([words.after[e.start : e.start + e.length] for e in episodes])


def _write_table(source: Path, target: Path, column: np.ndarray, name: str, provenance: Mapping[str, Any]) -> None:
    replace_columns(source, target, {name: column}, metadata={PROVENANCE: encode_provenance(provenance)})


def _is_current(
    dataset: LeRobotDataset, path: Path, column: np.ndarray, words: NewWords, provenance: Mapping[str, Any]
) -> bool:
    if file_metadata(dataset.root / path).get(PROVENANCE) != encode_provenance(provenance):
        return False
    with open_parquet(dataset.root / path) as file:
        if words.column not in file.schema_arrow.names:  # the same run, written under another name
            return False
        return file.read(columns=[words.column]).column(0).to_pylist() == column.tolist()


def encode_provenance(provenance: Mapping[str, Any]) -> bytes:
    """As the metadata of a parquet file holds it."""
    return json.dumps(provenance, sort_keys=True, ensure_ascii=False).encode()


def _info_with_column(dataset: LeRobotDataset, column: str) -> str:
    """The text of info.json with the column described; as it is where it is described already."""
    text = read_text(dataset.root / _INFO)
    info = json.loads(text)
    if column in info["features"]:
        return text
    info["features"][column] = v21.feature_of(np.array(["none"]))
    return json.dumps(info, indent=4, ensure_ascii=False)


def _nothing_else_changed(dataset: LeRobotDataset, column: str) -> Callable[[Mapping[Path, Path]], None]:
    """The last look before files are replaced: every other column of every table is equal."""

    def verify(staged: Mapping[Path, Path]) -> None:
        for relative, new in staged.items():
            if relative.suffix != ".parquet":
                continue
            for before, after in zip(_groups(dataset.root / relative, column), _groups(new, column), strict=True):
                if not before.equals(after):
                    raise DatasetError(f"{dataset.root / relative}: the new file differs in other columns; not written")

    return verify


def _groups(path: Path, left_out: str) -> Iterator[pa.Table]:
    with open_parquet(path) as file:
        names = [name for name in file.schema_arrow.names if name != left_out]
        for index in range(file.num_row_groups):
            yield file.read_row_group(index, columns=names).replace_schema_metadata(None)
