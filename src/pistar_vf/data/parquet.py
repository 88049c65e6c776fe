"""Columns of parquet files as NumPy arrays, with errors that name the file, the column and the row."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pistar_vf.errors import DatasetError


def open_parquet(path: Path) -> pq.ParquetFile:
    """Opens a parquet file; only its footer is read.

    Raises:
        DatasetError: the file is missing, truncated or corrupt.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file, though meta/episodes.jsonl lists its episode; download it again")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: cannot be read as parquet, truncated or corrupt: {error}") from error


def read_parquet_column(path: Path, name: str) -> np.ndarray:
    """Reads one column of one file.

    Args:
        path: the file.
        name: the column; scalars, strings, or lists of one length.

    Returns:
        [rows], or [rows, k] for lists of k > 1 numbers; strings come as an object array.

    Raises:
        DatasetError: the column is missing or unreadable, has nulls (a null float is NaN instead), holds lists
            of varying length, or holds structs.
    """
    with open_parquet(path) as file:
        if name not in file.schema_arrow.names:
            raise DatasetError(f"{path}: no column '{name}', though other files of the dataset have it")
        try:
            column = file.read(columns=[name]).column(name).combine_chunks()
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(f"{path}: column '{name}' cannot be read, the file is corrupt: {error}") from error
    return _to_numpy(column, f"{path}: column '{name}'")


def _to_numpy(column: pa.Array, where: str) -> np.ndarray:
    rows = len(column)
    shape = [rows]
    while _is_list(column.type):
        _refuse_nulls(column, rows, where)
        shape.append(_common_length(column, rows, where))
        column = column.flatten()
    if pa.types.is_struct(column.type):
        raise DatasetError(f"{where}: expected numbers or strings, got {column.type}; is it a camera?")
    if not pa.types.is_floating(column.type):
        _refuse_nulls(column, rows, where)
    values = column.to_numpy(zero_copy_only=False).reshape(shape)
    return values.reshape(rows) if shape[1:] == [1] else values


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _common_length(column: pa.Array, rows: int, where: str) -> int:
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    different = np.flatnonzero(lengths != lengths[0])
    if different.size:
        raise DatasetError(
            f"{where}: expected lists of one length, got {lengths[0]} in row 0 and {lengths[different[0]]} in row "
            f"{different[0] * rows // len(column)}"
        )
    return int(lengths[0])


def _refuse_nulls(column: pa.Array, rows: int, where: str) -> None:
    if column.null_count:
        first = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise DatasetError(f"{where}: expected a value in every row, got null in row {first * rows // len(column)}")
