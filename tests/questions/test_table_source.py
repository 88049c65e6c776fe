"""The Cauldron's tables, against the pictures they were written from and files written by hand."""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pistar_vf.errors import DatasetError
from pistar_vf.questions.open_source import open_vqa_source
from pistar_vf.questions.table_source import ArrowSource, ParquetSource
from pistar_vf.testing.vqa_dataset import write_cauldron, write_datasets_cache

IMAGE = {"bytes": b"png", "path": None}
TURN = {"user": "what?", "assistant": " red ", "source": "s"}


def write(path, rows, name="table.parquet"):
    pq.write_table(pa.Table.from_pylist(rows), path / name)
    return path / name


def test_row_groups_are_blocks(layouts):
    """40 rows in files of 14, 13 and 13, row groups of 4."""
    source = open_vqa_source(layouts.parquet)
    assert isinstance(source, ParquetSource)
    assert source.block_starts.tolist() == [0, 4, 8, 12, 14, 18, 22, 26, 27, 31, 35, 39]


def test_a_window_is_as_many_blocks_as_fit(layouts):
    """There are twelve; the window counts them by their mean size."""
    whole = sum(block.num_bytes for block in open_vqa_source(layouts.parquet).blocks)
    assert open_vqa_source(layouts.parquet, window_bytes=whole).blocks_per_window == 12
    assert open_vqa_source(layouts.parquet, window_bytes=whole // 5).blocks_per_window == 2
    assert open_vqa_source(layouts.parquet, window_bytes=0).blocks_per_window == 1


def test_arrow_files_are_shuffled_as_a_whole(layouts, pictures, tmp_path):
    assert isinstance(open_vqa_source(layouts.arrow), ArrowSource)
    write_datasets_cache(tmp_path / "a", pictures[:3])
    write_datasets_cache(tmp_path / "b", pictures[3:7])
    source = open_vqa_source(tmp_path)
    assert (source.block_starts.tolist(), source.blocks_per_window) == ([0, 3], 2)
    assert [sample.turns for sample in source.read(np.array([2, 3]))] == [pictures[2].turns, pictures[3].turns]


def test_reading_needs_each_row_group_once_per_window(layouts, monkeypatch):
    source = open_vqa_source(layouts.parquet, window_bytes=0)
    reads = []
    monkeypatch.setattr(
        source._load, "_load", lambda number, load=source._load._load: reads.append(number) or load(number)
    )
    for sample in (0, 1, 4, 0, 5, 8, 4, 0):
        source.read(np.array([sample]))
    # One block a window, two windows kept: block 0 is gone when it comes for the third time.
    assert reads == [0, 1, 2, 0]


def test_threads_that_want_one_block_read_it_once(layouts, monkeypatch):
    source = open_vqa_source(layouts.parquet)
    reads, started, go_on = [], threading.Event(), threading.Event()

    def load(number, load=source._load._load):
        reads.append(number)
        started.set()
        go_on.wait(10)
        return load(number)

    monkeypatch.setattr(source._load, "_load", load)
    threads = [threading.Thread(target=source.read, args=(np.array([1]),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait(10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert reads == [0]


def test_scanning_does_not_read_pictures(tmp_path):
    """A megabyte of picture a row: what is read to scan is far less."""
    rng = np.random.default_rng(0)
    path = write(tmp_path, [{"images": [{"bytes": rng.bytes(10**6), "path": None}], "texts": [TURN]}] * 3)
    source = open_vqa_source(path)
    assert source._load_texts(source.blocks[0]).nbytes < 1000
    assert [sample.turns for sample in source.scan()] == [(("what?", "red"),)] * 3


def test_samples_without_one_picture_have_no_turns(tmp_path):
    rows = [{"images": images, "texts": [TURN]} for images in ([], None, [IMAGE], [IMAGE, IMAGE])]
    samples = list(open_vqa_source(write(tmp_path, rows)).scan())
    assert [(sample.num_images, len(sample.turns)) for sample in samples] == [(0, 0), (0, 0), (1, 1), (2, 0)]


def test_pictures_by_path_are_beside_the_file(tmp_path):
    path = write(tmp_path, [{"images": [{"bytes": None, "path": "a.png"}], "texts": [TURN]}])
    (sample,) = open_vqa_source(path).read(np.array([0]))
    assert sample.image == {"bytes": None, "path": str(tmp_path / "a.png")}


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({**TURN, "assistant": None}, "table.parquet: row 1, turn 1: expected a text in 'assistant', got None"),
        ({**TURN, "user": None}, "table.parquet: row 1, turn 1: expected a text in 'user', got None"),
        (None, "table.parquet: row 1, turn 1: expected a text in 'user', got None"),
    ],
)
def test_a_missing_text_is_an_error(tmp_path, turn, message):
    path = write(tmp_path, [{"images": [IMAGE], "texts": [TURN]}, {"images": [IMAGE], "texts": [TURN, turn]}])
    with pytest.raises(DatasetError, match=message):
        list(open_vqa_source(path).scan())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"image": 1, "texts": [TURN]},
            r"columns 'images' and 'texts', got \['image', 'texts'\]; missing: \['images'\]",
        ),
        ({"images": IMAGE, "texts": [TURN]}, "expected 'images' to be lists of bytes and path, got struct"),
        ({"images": [b"png"], "texts": [TURN]}, "expected 'images' to be lists of bytes and path, got list<"),
        ({"images": [IMAGE], "texts": [{"q": ""}]}, "expected 'texts' to be lists of user and assistant, got list<"),
    ],
)
def test_other_columns_are_refused(tmp_path, row, message):
    with pytest.raises(DatasetError, match=rf"table.parquet: .*{message}"):
        open_vqa_source(write(tmp_path, [row]))


def test_tables_without_rows_are_refused(tmp_path, layouts):
    empty = pq.read_table(layouts.parquet / "shapes" / "train-00000-of-00003.parquet").slice(0, 0)
    pq.write_table(empty, tmp_path / "empty.parquet")
    with pytest.raises(DatasetError, match="the files have no rows; download them again"):
        open_vqa_source(tmp_path)


def test_damaged_files_are_named(tmp_path, pictures):
    path = write_cauldron(tmp_path, pictures[:4]) / "shapes" / "train-00000-of-00001.parquet"
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:500])
    with pytest.raises(DatasetError, match=r"train-00000-of-00001\.parquet: cannot be read as parquet"):
        open_vqa_source(tmp_path)
    content[4:2000] = bytes(1996)
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"\.parquet: row group 0 cannot be read, the file is corrupt"):
        open_vqa_source(tmp_path).read(np.array([0]))


def test_a_damaged_arrow_file_is_named(tmp_path, layouts):
    (tmp_path / "a.arrow").write_bytes(b"no arrow")
    with pytest.raises(DatasetError, match=r"a\.arrow: cannot be read as a stream of arrow records"):
        open_vqa_source(tmp_path)
