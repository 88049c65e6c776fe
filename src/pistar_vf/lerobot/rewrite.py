"""Replaces columns of one parquet file while everything else in it stays as it is.

Row groups are read and written one at a time, so that memory does not grow with the file.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.errors import DatasetError
from pistar_vf.foreign_files import object_of
from pistar_vf.lerobot import v21
from pistar_vf.lerobot.parquet import open_parquet
from pistar_vf.lerobot.schema import is_list
from pistar_vf.lerobot.typed_values import mapping
from pistar_vf.typing import Shaped

HUGGINGFACE = b"huggingface"
"""Key of the parquet metadata with its description."""


def replace_columns(
    source: Path,
    target: Path,
    columns: Mapping[str, Shaped[np.ndarray, "t ..."]],
    *,
    drop: Collection[str] = (),
    metadata: Mapping[bytes, bytes] | None = None,
) -> None:
    """Writes a copy of a parquet file in which some columns are replaced.

    A column that exists keeps its place and its arrow type; a new one goes to the end. The other columns, the row
    groups, the codec of every column and the schema's metadata are those of the source; Hugging Face's description
    of the columns (`huggingface`) follows the table.

    Args:
        source: the file; it is only read.
        target: the file to write.
        columns: name to one value, or one vector, per row of the file.
        drop: columns to leave out, where present. One that is also in `columns` is made anew, with its own type.
        metadata: keys to add to the schema's metadata, such as where the columns come from.

    Raises:
        DatasetError: the source is damaged or is the target, or the values do not fit the file or its column.
    """
    with open_parquet(source) as file:
        _check_rows(source, file.metadata.num_rows, columns)
        if target.exists() and target.samefile(source):
            raise DatasetError(f"{source}: expected another file to write to, got the same one, {target}")
        schema = _new_schema(source, file.schema_arrow, columns, drop, metadata or {})
        with pq.ParquetWriter(target, schema, **_options(file, schema)) as writer:
            kept = [name for name in schema.names if name not in columns]
            start = 0
            for index in range(file.num_row_groups):
                rows = slice(start, start := start + file.metadata.row_group(index).num_rows)
                group = _read(file, source, index, kept)
                group |= {name: _convert(source, v[rows], schema.field(name)) for name, v in columns.items()}
                table = pa.Table.from_arrays([group[name] for name in schema.names], schema=schema)
                writer.write_table(table, row_group_size=max(1, rows.stop - rows.start))


def file_metadata(path: Path) -> dict[bytes, bytes]:
    """The metadata of a parquet file's schema, where `replace_columns` keeps what it was given.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    with open_parquet(path) as file:
        return dict(file.schema_arrow.metadata or {})


def _check_rows(source: Path, num_rows: int, columns: Mapping[str, np.ndarray]) -> None:
    for name, values in columns.items():
        if len(values) != num_rows:
            raise DatasetError(f"{source}: column '{name}': expected {num_rows} values, one per row, got {len(values)}")


def _new_schema(
    source: Path,
    old: pa.Schema,
    columns: Mapping[str, np.ndarray],
    drop: Collection[str],
    metadata: Mapping[bytes, bytes],
) -> pa.Schema:
    fields = [field for field in old if field.name not in drop]
    names = {field.name for field in fields}
    new = {name: values for name, values in columns.items() if name not in names}
    fields += [pa.field(name, v21.arrow_column(values[:0]).type) for name, values in new.items()]
    described = dict(old.metadata or {})
    if HUGGINGFACE in described and (new or drop):
        described[HUGGINGFACE] = _describe(described[HUGGINGFACE], source, new, drop)
    return pa.schema(fields, metadata={**described, **metadata})


def described_features(content: bytes, source: Path) -> dict[str, Any]:
    """Hugging Face's description of the columns, as the metadata of a file holds it.

    Raises:
        DatasetError: it is damaged.
    """
    where = f"{source}, metadata"
    described = object_of(content, where, "Hugging Face's description of the columns")
    info = mapping(described.get("info", {}), where, "info")
    return dict(mapping(info.get("features", {}), where, "features"))


def _describe(content: bytes, source: Path, new: Mapping[str, np.ndarray], drop: Collection[str]) -> bytes:
    """The same after a change, in the table's order."""
    features = {name: kind for name, kind in described_features(content, source).items() if name not in {*drop, *new}}
    features |= {name: v21.huggingface_feature(v21.feature_of(values)) for name, values in new.items()}
    described = json.loads(content)
    return json.dumps({**described, "info": {**described.get("info", {}), "features": features}}).encode()


def _options(file: pq.ParquetFile, schema: pa.Schema) -> dict[str, Any]:
    """How the source was written: the codec of every column, and what it calls the elements of lists."""
    groups = [file.metadata.row_group(index) for index in range(min(1, file.num_row_groups))]
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    codecs = {chunk.path_in_schema: _codec(chunk) for chunk in chunks}
    compliant = not any(".list.item" in path for path in codecs)
    first = next(iter(codecs.values()), "SNAPPY")
    for name in schema.names:
        if not any(path == name or path.startswith(f"{name}.") for path in codecs):
            codecs |= {path: first for path in (name, f"{name}.list.{'element' if compliant else 'item'}")}
    return {"compression": codecs, "use_compliant_nested_type": compliant}


def _codec(chunk: pq.ColumnChunkMetaData) -> str:
    return "NONE" if chunk.compression == "UNCOMPRESSED" else chunk.compression


def _read(file: pq.ParquetFile, source: Path, index: int, names: list[str]) -> dict[str, pa.ChunkedArray]:
    try:
        table = file.read_row_group(index, columns=names)
    except (pa.ArrowException, OSError) as error:
        reason = f"corrupt, or beyond pyarrow {pa.__version__}"  # before 26, say: a null among vectors of fixed size
        raise DatasetError(f"{source}: row group {index} cannot be read ({reason}): {error}") from error
    return {name: table.column(name) for name in names}


def _convert(source: Path, values: np.ndarray, field: pa.Field) -> pa.Array:
    column = v21.arrow_column(values)
    if is_list(field.type) and not is_list(column.type):
        column = pa.FixedSizeListArray.from_arrays(column, 1)  # what was read as a scalar may be a list of one
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise DatasetError(
            f"{source}: column '{field.name}': expected values that fit its type {field.type}, "
            f"got {column.type}: {error}"
        ) from error
