"""Pictures that a table only names: they go into the merged table, as the files stay behind."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pistar_vf.errors import DatasetError


def embedded_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column of pictures once each holds its `bytes`, which a file may have left without a type."""
    if not _names_files(kind):
        return kind
    fields = {field.name: field for field in kind}
    if "bytes" not in fields or pa.types.is_null(fields["bytes"].type):
        fields["bytes"] = pa.field("bytes", pa.binary())
    return pa.struct(list(fields.values()))


def embed_pictures(table: pa.Table, columns: Iterable[str], root: Path, where: str) -> pa.Table:
    """The table with the content of a file in every picture whose `bytes` are null and whose `path` names one.

    Args:
        table: some rows.
        columns: those of pictures; one that the table lacks is passed over.
        root: the folder that relative paths start from.
        where: file and episode, for errors.

    Raises:
        DatasetError: a file that is named cannot be read; names it, the row and the column.
    """
    for name in columns:
        if name in table.column_names and _lacks_bytes(table[name]):
            context = f"{where}, column '{name}'"
            cells = [_embedded(cell, root, f"{context}, row {i}") for i, cell in enumerate(table[name].to_pylist())]
            column = pa.array(cells, embedded_type(table[name].type))
            table = table.set_column(table.column_names.index(name), name, column)
    return table


def _names_files(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and "path" in [field.name for field in kind]


def _lacks_bytes(column: pa.ChunkedArray) -> bool:
    if not _names_files(column.type):
        return False
    there = [field.name for field in column.type]
    return "bytes" not in there or pc.struct_field(column, "bytes").null_count > 0


def _embedded(cell: dict[str, Any] | None, root: Path, where: str) -> dict[str, Any] | None:
    if cell is None or cell.get("bytes") is not None or cell["path"] is None:
        return cell
    path = root / cell["path"]
    try:
        return {**cell, "bytes": path.read_bytes()}
    except OSError as error:
        raise DatasetError(
            f"{where}: expected the picture {path}, which the table names, got {error.strerror}; download it again"
        ) from error
