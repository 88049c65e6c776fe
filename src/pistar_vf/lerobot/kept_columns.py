"""Columns that are read when a file is opened for the first time, so that a command opens it once.

Opening is what costs: a dataset of version 2.1 has a file per episode, and over a network each takes a round trip.
Columns of single numbers and words are kept, the state, and those that are named; digests of content are computed in
the same pass. What is kept stays below a limit: the widest columns are dropped, and read again by who asks for them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pistar_vf.lerobot.content import STATE_COLUMNS, content_columns, file_digests
from pistar_vf.lerobot.parquet import ParquetScan, scan_parquet, to_numpy

_MOST_BYTES = 1 << 29


class KeptColumns:
    """The columns of a dataset's files that are in memory.

    Args:
        names: columns to keep besides the state and those of single numbers and words; None to keep nothing at all.
    """

    def __init__(self, names: Sequence[str] | None = None):
        self._names = names
        self._columns: dict[Path, dict[str, pa.ChunkedArray]] = {}
        self._sizes: Counter[str] = Counter()
        self._dropped: set[str] = set()
        self.digests: dict[int, str] | None = None if names is None else {}

    def open(self, path: Path, needed: Sequence[str] = ()) -> ParquetScan:
        """Opens a file: its rows, its schema, and the columns that are needed or kept.

        Raises:
            DatasetError: the file is missing or damaged, or lacks a column that is needed.
        """
        return scan_parquet(path, needed, self._wanted)

    def keep(self, path: Path, scan: ParquetScan, episodes: Mapping[int, tuple[int, int]]) -> None:
        """Keeps what was read of a file.

        Args:
            path: the file.
            scan: from `open`.
            episodes: index to first row and number of rows, of those that are in use.
        """
        if self._names is None:
            return
        if self.digests is not None:
            found = file_digests(path, scan, episodes)
            if found is None:
                self.digests = None
            else:
                self.digests.update(found)
        own = {name: column for name, column in scan.columns.items() if self._is_kept(name, column.type)}
        self._columns[path] = own
        self._sizes.update({name: column.nbytes for name, column in own.items()})
        while self._sizes.total() > _MOST_BYTES:
            self._drop(max(self._sizes, key=self._sizes.__getitem__))

    def read(self, path: Path, name: str, spans: Sequence[tuple[int, int]]) -> list[np.ndarray] | None:
        """As `read_parquet_column`; None where the column is not in memory."""
        column = self._columns.get(path, {}).get(name)
        if column is None:
            return None
        return [to_numpy(column.slice(first, rows), first, f"{path}: column '{name}'") for first, rows in spans]

    def _wanted(self, schema: pa.Schema) -> list[str]:
        if self._names is None:
            return []
        covered = content_columns(schema.names).values()
        return [field.name for field in schema if self._is_kept(field.name, field.type) or field.name in covered]

    def _is_kept(self, name: str, kind: pa.DataType) -> bool:
        if self._names is None or name in self._dropped:
            return False
        return name in (*self._names, *STATE_COLUMNS) or _is_single(kind)

    def _drop(self, name: str) -> None:
        del self._sizes[name]
        self._dropped.add(name)
        for columns in self._columns.values():
            columns.pop(name, None)

    def __reduce__(self) -> tuple:
        """Processes that decode get a dataset without what is kept of it."""
        return KeptColumns, ()


def _is_single(kind: pa.DataType) -> bool:
    """A number, a flag or a word."""
    return (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind)
    )
