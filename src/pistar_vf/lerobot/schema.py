"""The columns of a dataset: the union over its files, which may differ in them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from pistar_vf.errors import DatasetError

FileSchemas = dict[Path, pa.Schema]
"""Every parquet file to what it holds, in the order of the episodes."""


@dataclasses.dataclass(frozen=True)
class TableSchema:
    """What the tables of a dataset hold.

    Attributes:
        types: column to its type, one that holds the values of all files where there is one; in the order in which
            the files have them.
        lacking: column to the files without it; of columns that every file has, nothing.
    """

    types: Mapping[str, pa.DataType]
    lacking: Mapping[str, tuple[Path, ...]]

    @classmethod
    def of_files(cls, files: FileSchemas) -> "TableSchema":
        """The union over files."""
        kinds = {schema.remove_metadata(): None for schema in files.values()}
        types: dict[str, pa.DataType] = {}
        for schema in kinds:
            for field in schema:
                types[field.name] = common_type(types.get(field.name, field.type), field.type)
        partial = [name for name in types if not all(name in schema.names for schema in kinds)]
        return cls(types, {name: _without(name, files) for name in partial})

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that some file has."""
        return tuple(self.types)

    def describe_partial(self, name: str, num_files: int) -> str:
        """`3 of 10 files lack it (the first is ...)`."""
        files = self.lacking[name]
        return f"{len(files)} of {num_files} files lack it, the first is {files[0]}"


def _without(name: str, files: FileSchemas) -> tuple[Path, ...]:
    return tuple(path for path, schema in files.items() if name not in schema.names)


def common_type(first: pa.DataType, other: pa.DataType) -> pa.DataType:
    """A type for the values of both; the first where there is none, and reading the other fails by name."""
    if first == other:
        return first
    if pa.types.is_fixed_size_list(first) and is_list(other):
        return pa.list_(common_type(first.value_type, other.value_type), first.list_size)
    try:
        schemas = [pa.schema([pa.field("x", kind)]) for kind in (first, other)]
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return first


def conform(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """A table with the columns of a schema, in its order and its types.

    Args:
        table: it may have further columns, which are left out.
        schema: what is wanted; of types that hold the values of the table.
        where: file, for errors.

    Raises:
        DatasetError: a column is missing, or its values do not fit the type; names it.
    """
    return pa.Table.from_arrays([conform_column(table, field, where) for field in schema], schema=schema)


def conform_column(table: pa.Table, field: pa.Field, where: str) -> pa.ChunkedArray:
    """One column of `conform`."""
    if field.name not in table.column_names:
        raise DatasetError(f"{where}: column '{field.name}': expected it in every file, as others have it, got none")
    column = table[field.name]
    if column.type == field.type:
        return column  # also because pyarrow cannot cast a piece of a nested column
    try:
        if _holds_structs(field.type):
            return pa.chunked_array([pa.array(column.to_pylist(), field.type)])
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise DatasetError(
            f"{where}: column '{field.name}': expected values that can be stored as other files store them, "
            f"{field.type}, got {column.type}: {error}"
        ) from error


def is_list(kind: pa.DataType) -> bool:
    """A list of any kind."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _holds_structs(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) or any(_holds_structs(kind.field(i).type) for i in range(kind.num_fields))
