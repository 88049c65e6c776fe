"""Columns of parquet files as NumPy arrays, with errors that name the file, the column and the row."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pistar_vf.errors import DatasetError
from pistar_vf.foreign_files import refuse_stand_in
from pistar_vf.lerobot.schema import is_list


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


@dataclasses.dataclass(frozen=True)
class ParquetScan:
    """What one look into a file found.

    Attributes:
        num_rows: of the file.
        schema: of the file.
        columns: those that were read, whole.
    """

    num_rows: int
    schema: pa.Schema
    columns: Mapping[str, pa.ChunkedArray]


def scan_parquet(path: Path, needed: Sequence[str], wanted: Callable[[pa.Schema], Iterable[str]]) -> ParquetScan:
    """Opens a file once for its footer and some columns.

    Args:
        path: the file.
        needed: columns that it must have.
        wanted: from its schema to further columns; none of them is read where one cannot be.

    Raises:
        DatasetError: the file is missing or damaged, or a needed column is missing or unreadable.
    """
    with open_parquet(path) as file:
        schema = file.schema_arrow
        names = list(dict.fromkeys((*needed, *wanted(schema))))
        _check_columns(path, schema, needed)
        try:
            columns = dict(zip(names, file.read(columns=names).columns)) if names else {}
        except (pa.ArrowInvalid, OSError):
            columns = {name: _read_groups(file, range(file.num_row_groups), name, path) for name in needed}
        return ParquetScan(file.metadata.num_rows, schema, columns)


def read_parquet_column(path: Path, name: str, spans: Sequence[tuple[int, int]] | None = None) -> list[np.ndarray]:
    """`column_of` a file that is opened for this column alone.

    Raises:
        DatasetError: see `column_of`; and the file is missing, truncated or corrupt.
    """
    with open_parquet(path) as file:
        return column_of(file, path, name, spans)


def column_of(
    file: pq.ParquetFile, path: Path, name: str, spans: Sequence[tuple[int, int]] | None = None
) -> list[np.ndarray]:
    """Reads one column of an open file, or spans of it; row groups without a wanted row are left out.

    Args:
        file: from `open_parquet`.
        path: of the file, for errors.
        name: the column; scalars, strings, or lists of one length.
        spans: (first row, number of rows) of each part wanted; None for one part, the whole file.

    Returns:
        One array per span: [rows], or [rows, k] for lists of k > 1 numbers; strings come as an object array.

    Raises:
        DatasetError: the column is missing or unreadable, has nulls (a null float is NaN instead), holds lists
            of varying length, or holds structs.
    """
    _check_columns(path, file.schema_arrow, [name])
    if spans is None:
        spans = [(0, file.metadata.num_rows)]
    groups, offsets = row_groups_of(file, spans)
    column = _read_groups(file, groups, name, path)
    where = f"{path}: column '{name}'"
    return [to_numpy(column.slice(offset, rows), first, where) for offset, (first, rows) in zip(offsets, spans)]


def _check_columns(path: Path, schema: pa.Schema, names: Iterable[str]) -> None:
    for name in names:
        if name not in schema.names:
            raise DatasetError(f"{path}: no column '{name}', though other files of the dataset have it")


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


def to_numpy(chunks: pa.ChunkedArray, first_row: int, where: str) -> np.ndarray:
    """Some rows of a column as an array, see `column_of`.

    Args:
        chunks: the rows.
        first_row: of these, in the file.
        where: file and column, for errors.

    Raises:
        DatasetError: see `column_of`.
    """
    column = chunks.combine_chunks()
    shape = [len(column)]
    rows = range(first_row, first_row + len(column))
    while is_list(column.type):
        _refuse_nulls(column, rows, where)
        shape.append(_common_length(column, rows, where))
        column = column.flatten()
    if pa.types.is_struct(column.type):
        raise ColumnFormError(f"{where}: expected numbers or strings, got {column.type}; is it a camera?")
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())  # databases write whole numbers so
    if not pa.types.is_floating(column.type):
        _refuse_nulls(column, rows, where)
    values = column.to_numpy(zero_copy_only=False).reshape(shape)
    return values.reshape(len(rows)) if shape[1:] == [1] else values


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
