"""Columns replaced inside a parquet file. Oracles: pyarrow's reading of both files, and literals."""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.rewrite import file_metadata, replace_columns

TYPES = (
    pa.float32(),
    pa.float64(),
    pa.int64(),
    pa.bool_(),
    pa.string(),
    pa.timestamp("us"),
    pa.list_(pa.float32(), 2),
    pa.list_(pa.int64()),
    pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    pa.dictionary(pa.int32(), pa.string()),
)
NANS = (0x7FC00000, 0x7FC00001, 0xFFC00123, 0x80000000)  # quiet NaNs with different payloads, and -0.0


def column(kind: pa.DataType, rows: int, rng: np.random.Generator) -> pa.Array:
    """Random values of a type, a quarter of them null; floats with all sorts of NaN."""
    null = rng.random(rows) < 0.25
    if pa.types.is_floating(kind):
        bits = rng.choice(np.array(NANS, np.uint32), rows)
        floats = np.where(rng.random(rows) < 0.5, bits.view(np.float32), rng.random(rows, np.float32))
        return pa.array(floats.astype(np.float32 if kind == pa.float32() else np.float64), mask=null)
    words = [f"w{number}" for number in rng.integers(0, 9, rows)]
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return pa.array(words, mask=null).cast(kind)
    if pa.types.is_struct(kind):
        return pa.array([{"bytes": word.encode(), "path": None} for word in words], kind, mask=null)
    if pa.types.is_fixed_size_list(kind):
        # No whole row is null: pyarrow before 26 writes that, but cannot read it.
        return pa.array([[1.5, None if hole else math.nan] for hole in null], kind)
    if pa.types.is_list(kind):
        return pa.array([None if hole else [1] * (row % 3) for row, hole in enumerate(null)], kind)
    return pa.array(rng.integers(0, 2, rows), mask=null).cast(pa.int64()).cast(kind)


def bits(table: pa.Table) -> bytes:
    """Every buffer of every column; equal only for equal bits, whatever NaN is equal to."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.unify_dictionaries().combine_chunks())
    return sink.getvalue().to_pybytes()


def groups(path: Path) -> list[int]:
    metadata = pq.ParquetFile(path).metadata
    return [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(TYPES), min_size=1, max_size=5),
    group_rows=st.lists(st.integers(0, 7), max_size=4),
    codec=st.sampled_from(["NONE", "SNAPPY", "ZSTD", "GZIP"]),
    seed=st.integers(0, 1000),
)
def test_everything_else_stays_bit_for_bit(kinds, group_rows, codec, seed) -> None:
    rng = np.random.default_rng(seed)
    rows = sum(group_rows)
    arrays = {f"observation.c{i}": column(kind, rows, rng) for i, kind in enumerate(kinds)}
    table = pa.table({"label": np.zeros(rows, np.float32), **arrays}).replace_schema_metadata(
        {"pandas": "{}", "x": "y"}
    )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "a.parquet"), Path(folder, "b.parquet")
        with pq.ParquetWriter(source, table.schema, compression=codec) as writer:
            for start, number in zip(np.cumsum([0, *group_rows]), group_rows):
                writer.write_table(table.slice(start, number), row_group_size=max(number, 1))
        labels, words = rng.random(rows).astype(np.float32), np.array(["positive"] * rows, str)
        replace_columns(source, target, {"label": labels, "word": words})
        before, after = pq.read_table(source), pq.read_table(target)
        assert after.column_names == [*before.column_names, "word"]
        assert groups(target) == groups(source)
        assert after.schema.metadata == before.schema.metadata
        kept = list(arrays)
        assert after.select(kept).schema.equals(before.select(kept).schema, check_metadata=True)
        assert bits(after.select(kept)) == bits(before.select(kept))
        np.testing.assert_array_equal(after["label"].to_numpy(), labels)
        assert after["word"].to_pylist() == words.tolist()
        assert not sum(group_rows) or codecs(target) == {codec.replace("NONE", "UNCOMPRESSED")}


def codecs(path: Path) -> set[str]:
    group = pq.ParquetFile(path).metadata.row_group(0)
    return {group.column(index).compression for index in range(group.num_columns)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    table = pa.table(
        {
            "a": pa.array([1.0, None, 3.0], pa.float32()),
            "old": pa.array([True, False, True]),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 2),
            "one": pa.array([[1.0], [2.0], [3.0]], pa.list_(pa.float64())),
            "word": pa.array(["x", None, "z"]).dictionary_encode(),
        }
    )
    value = {"dtype": "float32", "_type": "Value"}
    features = {"a": value, "old": {"dtype": "bool", "_type": "Value"}, "vector": value, "one": value, "word": value}
    # Spaces that json.dumps would not write: an untouched description stays as it is.
    described = json.dumps({"info": {"features": features, "v": 1}}, indent=1)
    path = tmp_path / "source.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": described}), path, row_group_size=2)
    return path


def test_a_replaced_column_keeps_place_and_type(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.parquet"
    new = {
        "old": np.array([0, 1, 1]),
        "vector": np.array([[9, 8], [7, 6], [5, 4]], np.float64),
        "one": np.array([4, 5, 6], np.float32),
        "word": np.array(["p", "q", None], object),
    }
    replace_columns(source, target, new)
    before, after = pq.read_table(source), pq.read_table(target)
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.to_pydict() == {
        "a": [1, None, 3],
        "old": [False, True, True],
        "vector": [[9, 8], [7, 6], [5, 4]],
        "one": [[4], [5], [6]],
        "word": ["p", "q", None],
    }
    assert groups(target) == [2, 1]


def test_new_and_dropped_columns_are_described(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.parquet"
    new = {"old": np.array([3, 4, 5]), "a": np.array([7, 8, 9], np.float32), "pair": np.zeros((3, 2), np.float32)}
    replace_columns(source, target, new, drop=("old", "one", "absent"), metadata={b"pistar_vf": b'{"checkpoint": 1}'})
    after = pq.read_table(target)
    assert after.column_names == ["a", "vector", "word", "old", "pair"]
    assert (after["old"].type, after["old"].to_pylist()) == (pa.int64(), [3, 4, 5])
    assert after["pair"].type == pa.list_(pa.float32(), 2)
    described = json.loads(after.schema.metadata[b"huggingface"])
    assert described["info"]["v"] == 1
    assert list(described["info"]["features"]) == after.column_names
    assert described["info"]["features"]["old"] == {"dtype": "int64", "_type": "Value"}
    assert described["info"]["features"]["pair"] == {
        "feature": {"dtype": "float32", "_type": "Value"},
        "length": 2,
        "_type": "Sequence",
    }
    assert file_metadata(target)[b"pistar_vf"] == b'{"checkpoint": 1}'


def test_without_metadata(tmp_path: Path) -> None:
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), source)
    replace_columns(source, target, {"b": np.zeros(2)})
    assert file_metadata(target) == {}
    replace_columns(source, target, {"a": np.array([3, 4])}, metadata={b"k": b"v"})
    assert file_metadata(target) == {b"k": b"v"}
    assert pq.read_table(target).to_pydict() == {"a": [3, 4]}


def test_codecs_are_per_column_and_new_columns_get_the_first(tmp_path: Path) -> None:
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    table = pa.table({"observation.state": [[1.0]], "b": [1]})
    codec = {"observation.state.list.element": "ZSTD", "b": "NONE"}
    pq.write_table(table, source, compression=codec)
    replace_columns(source, target, {"label": np.zeros(1), "pair": np.zeros((1, 2))})
    group = pq.ParquetFile(target).metadata.row_group(0)
    found = {group.column(i).path_in_schema: group.column(i).compression for i in range(group.num_columns)}
    assert found == {
        "observation.state.list.element": "ZSTD",
        "b": "UNCOMPRESSED",
        "label": "ZSTD",
        "pair.list.element": "ZSTD",
    }


def test_old_names_of_list_elements_stay(tmp_path: Path) -> None:
    """Parquet of pyarrow before 13 calls them `item`."""
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    pq.write_table(pa.table({"a": [[1.0], [2.0]]}), source, use_compliant_nested_type=False)
    replace_columns(source, target, {"pair": np.zeros((2, 2))})
    names = [pq.ParquetFile(target).schema.column(index).path for index in range(2)]
    assert names == ["a.list.item", "pair.list.item"]


def test_large_row_groups_are_not_split(tmp_path: Path) -> None:
    """pyarrow starts a new one after 1,048,576 rows if not told otherwise."""
    source, target, rows = tmp_path / "source.parquet", tmp_path / "target.parquet", 1_100_000
    pq.write_table(pa.table({"a": np.zeros(rows, np.int8)}), source, row_group_size=rows)
    replace_columns(source, target, {"b": np.zeros(rows, np.int8)})
    assert groups(source) == groups(target) == [rows]


def test_what_cannot_be_written(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.parquet"
    for columns, message in (
        ({"a": np.zeros(2)}, r"source.parquet: column 'a': expected 3 values, one per row, got 2"),
        ({"old": np.array(["x", "y", "z"])}, r"column 'old': expected values that fit its type bool, got string"),
        ({"vector": np.zeros((3, 3))}, r"column 'vector': expected values that fit its type fixed_size_list<.*>\[2\]"),
    ):
        with pytest.raises(DatasetError, match=message):
            replace_columns(source, target, columns)
    for name in ("source.parquet", "linked.parquet"):
        (tmp_path / "linked.parquet").unlink(missing_ok=True)
        (tmp_path / "linked.parquet").hardlink_to(source)
        with pytest.raises(DatasetError, match="expected another file to write to, got the same one"):
            replace_columns(source, tmp_path / name, {"a": np.zeros(3)})
    assert pq.read_table(source).num_rows == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"info" {}}', "expected Hugging Face's description of the columns, got something else"),
        ("[]", "expected Hugging Face's description of the columns, got something else \\(list"),
        ('{"info": 1}', "key 'info': expected an object, got 1"),
        ('{"info": {"features": [1]}}', "key 'features': expected an object"),
    ],
)
def test_a_damaged_description_of_the_columns(tmp_path: Path, content: str, message: str) -> None:
    source = tmp_path / "source.parquet"
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"huggingface": content}), source)
    with pytest.raises(DatasetError, match=rf"source.parquet, metadata: {message}"):
        replace_columns(source, tmp_path / "target.parquet", {"b": np.zeros(1)})


def test_damaged_files(source: Path, tmp_path: Path) -> None:
    content = bytearray(source.read_bytes())
    content[4:40] = b"\xff" * 36
    (tmp_path / "bad.parquet").write_bytes(content)
    with pytest.raises(DatasetError, match=r"bad.parquet: row group 0 cannot be read \(corrupt, or beyond pyarrow \d+"):
        replace_columns(tmp_path / "bad.parquet", tmp_path / "target.parquet", {"old": np.zeros(3, bool)})
    (tmp_path / "bad.parquet").write_bytes(content[:50])
    with pytest.raises(DatasetError, match=r"bad.parquet: cannot be read as parquet"):
        file_metadata(tmp_path / "bad.parquet")


def test_real_dataset(g1_dataset_path: Path, tmp_path: Path) -> None:
    source, target = g1_dataset_path / "data/chunk-000/episode_000000.parquet", tmp_path / "target.parquet"
    replace_columns(source, target, {"value_label": np.linspace(-1, 0, 393, dtype=np.float32)})
    before, after = pq.read_table(source), pq.read_table(target)
    assert after.select(before.column_names).equals(before)
    assert after["value_label"].to_pylist()[0] == -1
