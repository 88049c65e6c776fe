"""Columns of parquet files as NumPy arrays, with errors that name the file, the column and the row."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pistar_vf.errors import DatasetError
from pistar_vf.foreign_files import refuse_stand_in


class ColumnFormError(DatasetError):
    """A column that is sound, but holds no array of numbers or strings."""


def open_parquet(path: Path) -> pq.ParquetFile:
    """Opens a parquet file; only its footer is read.

    Raises:
        DatasetError: the file is missing, truncated or corrupt.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file, though the metadata speaks of it; download it again")
    refuse_stand_in(path)
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: cannot be read as parquet, truncated or corrupt: {error}") from error


def read_column_names(path: Path) -> tuple[str, ...]:
    """The columns of a file, in its order.

    Raises:
        DatasetError: the file is missing, truncated or corrupt.
    """
    with open_parquet(path) as file:
        return tuple(file.schema_arrow.names)


def read_parquet_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads whole columns of a file.

    Args:
        path: the file.
        columns: which; None for all.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    with open_parquet(path) as file:
        try:
            return file.read(columns=None if columns is None else list(columns))
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(f"{path}: cannot be read, the file is corrupt: {error}") from error


def read_parquet_column(path: Path, name: str, spans: Sequence[tuple[int, int]] | None = None) -> list[np.ndarray]:
    """One column of one file, see `read_parquet_columns`."""
    return read_parquet_columns(path, (name,), spans)[name]


def read_parquet_columns(
    path: Path, names: Sequence[str], spans: Sequence[tuple[int, int]] | None = None
) -> dict[str, list[np.ndarray]]:
    """Reads some columns of one file, or spans of them; row groups without a wanted row are left out.

    Args:
        path: the file; it is opened once.
        names: the columns; scalars, strings, or lists of one length.
        spans: (first row, number of rows) of each part wanted; None for one part, the whole file.

    Returns:
        Column to one array per span: [rows], or [rows, k] for lists of k > 1 numbers; strings come as an object array.

    Raises:
        DatasetError: a column is missing or unreadable, has nulls (a null float is NaN instead), holds lists
            of varying length, or holds structs.
    """
    with open_parquet(path) as file:
        for name in names:
            if name not in file.schema_arrow.names:
                raise DatasetError(f"{path}: no column '{name}', though other files of the dataset have it")
        if spans is None:
            spans = [(0, file.metadata.num_rows)]
        groups, offsets = row_groups_of(file, spans)
        columns = {name: _read_groups(file, groups, name, path) for name in names}
    return {
        name: [
            _to_numpy(column.slice(offset, rows), first, f"{path}: column '{name}'")
            for offset, (first, rows) in zip(offsets, spans)
        ]
        for name, column in columns.items()
    }


def _read_groups(file: pq.ParquetFile, groups: Sequence[int], name: str, path: Path) -> pa.ChunkedArray:
    try:
        return file.read_row_groups(groups, columns=[name]).column(name)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: column '{name}' cannot be read, the file is corrupt: {error}") from error


def row_groups_of(file: pq.ParquetFile, spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Which row groups hold some rows of a file.

    Args:
        file: the file.
        spans: (first row, number of rows) of each part wanted.

    Returns:
        The row groups, and for every span its first row when only these are read.
    """
    sizes = np.array([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)], np.int64)
    ends = np.cumsum(sizes)
    firsts = np.array([first for first, _ in spans], np.int64)
    first_groups = np.searchsorted(ends, firsts, side="right")
    last_groups = np.searchsorted(ends, firsts + [rows - 1 for _, rows in spans], side="right")
    wanted = np.zeros(len(sizes), bool)
    for first_group, last_group in zip(first_groups, last_groups):
        wanted[first_group : last_group + 1] = True
    left_out = np.cumsum(np.append(np.where(wanted, 0, sizes), 0))
    return np.flatnonzero(wanted).tolist(), (firsts - left_out[first_groups]).tolist()


def _to_numpy(chunks: pa.ChunkedArray, first_row: int, where: str) -> np.ndarray:
    column = chunks.combine_chunks()
    shape = [len(column)]
    rows = range(first_row, first_row + len(column))
    while _is_list(column.type):
        _refuse_nulls(column, rows, where)
        shape.append(_common_length(column, rows, where))
        column = column.flatten()
    if pa.types.is_struct(column.type):
        raise ColumnFormError(f"{where}: expected numbers or strings, got {column.type}; is it a camera?")
    if not pa.types.is_floating(column.type):
        _refuse_nulls(column, rows, where)
    values = column.to_numpy(zero_copy_only=False).reshape(shape)
    return values.reshape(len(rows)) if shape[1:] == [1] else values


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _common_length(column: pa.Array, rows: range, where: str) -> int:
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    different = np.flatnonzero(lengths != lengths[0])
    if different.size:
        raise ColumnFormError(
            f"{where}: expected lists of one length, got {lengths[0]} in row {rows[0]} and {lengths[different[0]]} in "
            f"row {rows[different[0] * len(rows) // len(column)]}"
        )
    return int(lengths[0])


def _refuse_nulls(column: pa.Array, rows: range, where: str) -> None:
    if column.null_count:
        first = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        row = rows[first * len(rows) // len(column)]
        raise ColumnFormError(f"{where}: expected a value in every row, got null in row {row}")
