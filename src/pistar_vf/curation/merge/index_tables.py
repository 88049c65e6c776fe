"""Columns whose numbers stand for rows of a table in `meta/`, such as `subtask_index` with `meta/subtasks.parquet`.

The tables of all sources become one, as their tasks do, and the numbers follow.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pistar_vf.curation.merge.sources import Source
from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.metadata import read_jsonl
from pistar_vf.lerobot.parquet import read_parquet_table
from pistar_vf.lerobot.typed_values import whole_number
from pistar_vf.lerobot.v21 import INDEX_COLUMNS, json_line

_SUFFIX = "_index"
_Row = dict[str, Any]
_Table = tuple[Path, list[_Row], pa.Table | None]


@dataclasses.dataclass(frozen=True)
class IndexTable:
    """The table that a column of the result speaks of.

    Attributes:
        column: such as `subtask_index`.
        path: relative to the dataset.
        rows: of the joined table, without the column; a row's position is its number.
        schema: how the first source that has the table stores it; None for lines of JSON.
        positions: of each source, its own number to the position in `rows`; empty for a source without the table.
    """

    column: str
    path: Path
    rows: tuple[_Row, ...]
    schema: pa.Schema | None
    positions: tuple[Mapping[int, int], ...]

    def renumbered(self, source: int, column: pa.ChunkedArray, where: str) -> pa.Array:
        """The numbers of one source as those of the result; a null and a negative number mean no row and stay.

        Raises:
            DatasetError: a number is not in the source's table.
        """
        found = pc.unique(column)
        new = [self._renumbered(self.positions[source], value, where) for value in found.to_pylist()]
        return pa.array(new, pa.int64()).take(pc.index_in(column, found).combine_chunks())

    def _renumbered(self, own: Mapping[int, int], value: Any, where: str) -> int | None:
        if value is None or value < 0:
            return value
        number = whole_number(value, where, self.column)
        if number not in own:
            raise DatasetError(
                f"{where}: column '{self.column}': expected a number of {self.path}, got {number}; add it there, "
                f"or leave the column out (--drop {self.column})"
            )
        return own[number]


def join_index_tables(sources: Sequence[Source], columns: Sequence[str]) -> dict[str, IndexTable]:
    """Every column of the result that ends in `_index` and has a table in some source's `meta/`.

    Raises:
        DatasetError: a table is damaged, or a source has the column without the table that another has.
    """
    found = {}
    for column in columns:
        if column.endswith(_SUFFIX) and column not in INDEX_COLUMNS:
            tables = [_read(source, column) for source in sources]
            if any(table is not None for table in tables):
                found[column] = _join(column, sources, tables)
    return found


def write_index_tables(tables: Mapping[str, IndexTable], folder: Path) -> None:
    """Writes the joined tables into a dataset."""
    for table in tables.values():
        numbered = [{table.column: number, **row} for number, row in enumerate(table.rows)]
        path = folder / table.path
        if table.schema is None:
            path.write_text("".join(map(json_line, numbered)), encoding="utf-8")
        else:
            pq.write_table(pa.Table.from_pylist(numbered, table.schema), path)


def _read(source: Source, column: str) -> _Table | None:
    """Where the table is, its rows, and the table itself where it is parquet; None where there is none."""
    old = source.old_name(column)
    stem = old.removesuffix(_SUFFIX)
    for name in (f"{stem}s", stem, f"{stem}es", f"{stem.removesuffix('y')}ies"):
        for suffix in (".parquet", ".jsonl"):
            path = source.dataset.root / "meta" / f"{name}{suffix}"
            if not path.is_file():
                continue
            if suffix == ".jsonl":
                return path, [entry for _, entry in read_jsonl(path, (old,))], None
            table = read_parquet_table(path)
            if old not in table.column_names:
                raise DatasetError(f"{path}: expected the column {old}, got {', '.join(table.column_names)}")
            return path, table.to_pylist(), table
    return None


def _join(column: str, sources: Sequence[Source], tables: Sequence[_Table | None]) -> IndexTable:
    rows: list[_Row] = []
    position: dict[str, int] = {}
    positions: list[dict[int, int]] = []
    for source, table in zip(sources, tables):
        positions.append({})
        if table is None:
            if column in source.columns:
                raise DatasetError(
                    f"{source.dataset.root}/meta: expected a table of the numbers in the column '{column}', as another "
                    f"dataset has, got none; restore it, or leave the column out (--drop {column})"
                )
            continue
        path, entries, _ = table
        _check_names(column, [table for table in tables if table is not None], path)
        old = source.old_name(column)
        for i, entry in enumerate(entries):
            number = whole_number(entry[old], f"{path}: row {i}", old, 0)
            row = {name: value for name, value in entry.items() if name != old}
            if (key := repr(sorted(row.items()))) not in position:
                position[key] = len(rows)
                rows.append(row)
            positions[-1][number] = position[key]
    old, (first, _, table) = next((s.old_name(column), t) for s, t in zip(sources, tables) if t is not None)
    return IndexTable(column, Path("meta", first.name), tuple(rows), _schema(table, old, column), tuple(positions))


def _check_names(column: str, tables: Sequence[_Table], path: Path) -> None:
    """Refuses tables of other columns: the result could not hold them all."""
    names = [{name for entry in rows for name in entry if not name.endswith(_SUFFIX)} for _, rows, _ in tables]
    if any(own != names[0] for own in names) or any(p.suffix != path.suffix for p, _, _ in tables):
        raise DatasetError(
            f"{path}: expected the columns {sorted(names[0])} as in {tables[0][0]}, got others; make the tables alike, "
            f"or leave the column out (--drop {column})"
        )


def _schema(table: pa.Table | None, old: str, new: str) -> pa.Schema | None:
    if table is None:
        return None
    place = table.schema.get_field_index(old)
    return table.schema.set(place, table.schema.field(place).with_name(new))
