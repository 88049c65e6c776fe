"""The Cauldron's layout: `images` and `texts` columns in parquet files, or in the arrow files of a `datasets` cache.

References:
    Laurençon et al., "What matters when building vision-language models?", arXiv 2405.02246, section 3 (The Cauldron).
"""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.parquet import open_parquet
from pistar_vf.questions.sample import Sample, read_text
from pistar_vf.typing import Int

WINDOW_BYTES = 2**28
_COLUMNS = ("images", "texts")
_SCAN_ROWS = 1000


@dataclasses.dataclass(frozen=True)
class Block:
    """Rows that are read together.

    Attributes:
        path: the file.
        first_row: of the block in its file.
        num_rows: of the block.
        num_bytes: in memory.
        group: row group of a parquet file; None for a whole arrow file.
    """

    path: Path
    first_row: int
    num_rows: int
    num_bytes: int
    group: int | None = None


class _TableSource:
    """What both kinds of files share; `_load` and `_load_texts` make a table of a block."""

    _load: Callable[[int], pa.Table]

    def __init__(self, path: Path, blocks: Sequence[Block], blocks_per_window: int):
        self.path, self.blocks, self.blocks_per_window = path, tuple(blocks), blocks_per_window
        ends = np.cumsum([block.num_rows for block in self.blocks], dtype=np.int64)
        self.block_starts = np.concatenate([[0], ends[:-1]])
        self._num_rows = int(ends[-1])

    def _load_texts(self, block: Block) -> pa.Table:
        raise NotImplementedError

    def __len__(self) -> int:
        return self._num_rows

    def scan(self) -> Iterator[Sample]:
        """Every sample in order, without its picture."""
        for block in self.blocks:
            row = block.first_row
            for batch in self._load_texts(block).to_batches(max_chunksize=_SCAN_ROWS):
                counts = pc.fill_null(pc.list_value_length(batch.column("images")), 0).to_pylist()
                for count, texts in zip(counts, batch.column("texts").to_pylist()):
                    yield self._sample(block, row, count, texts)
                    row += 1

    def read(self, samples: Int[np.ndarray, " b"]) -> list[Sample]:
        """Some samples with their pictures, still encoded."""
        numbers = np.searchsorted(self.block_starts, samples, side="right") - 1
        return [self._read_one(number, sample) for number, sample in zip(numbers.tolist(), samples.tolist())]

    def _read_one(self, number: int, sample: int) -> Sample:
        block, row = self.blocks[number], sample - int(self.block_starts[number])
        table = self._load(number)
        images, texts = (table.column(name)[row].as_py() for name in _COLUMNS)
        image = images[0] or {}
        if image.get("path") is not None:
            image["path"] = str(block.path.parent / image["path"])
        return dataclasses.replace(self._sample(block, block.first_row + row, len(images), texts), image=image)

    def _sample(self, block: Block, row: int, num_images: int, texts: list | None) -> Sample:
        where = f"{block.path}: row {row}"
        turns = () if num_images != 1 else tuple(_read_turns(texts or (), where))
        name = block.path.relative_to(self.path) if block.path != self.path else block.path.name
        return Sample(turns, num_images, f"{name}:{row}", where)


class ParquetSource(_TableSource):
    """Parquet files; a block is a row group, the smallest part of them that can be read."""

    def __init__(self, path: Path, files: Sequence[Path], window_bytes: int = WINDOW_BYTES):
        """Reads the footers.

        Args:
            path: the folder, or the one file.
            files: all files in it.
            window_bytes: about how much of the files to shuffle among; twice as much is kept in memory.

        Raises:
            DatasetError: a file is damaged, has other columns, or there are no rows.
        """
        blocks = [block for file in files for block in _row_groups(file)]
        _refuse_empty(path, blocks)
        mean_bytes = sum(block.num_bytes for block in blocks) / len(blocks)
        super().__init__(path, blocks, max(1, int(window_bytes / mean_bytes)))
        # Batches that are read ahead reach into the next window while the last one is still in use.
        self._load = _Cache(self._read_block, 2 * self.blocks_per_window)

    def _read_block(self, number: int) -> pa.Table:
        return _read_row_group(self.blocks[number], lambda file: list(_COLUMNS))

    def _load_texts(self, block: Block) -> pa.Table:
        return _read_row_group(block, _text_leaves)


class ArrowSource(_TableSource):
    """Arrow files, mapped into memory: any row is as near as any other."""

    def __init__(self, path: Path, files: Sequence[Path]):
        """Maps the files.

        Args:
            path: the folder, or the one file.
            files: all files in it.

        Raises:
            DatasetError: a file is damaged, has other columns, or there are no rows.
        """
        tables = list(map(_map_arrow_file, files))
        blocks = [Block(file, 0, table.num_rows, table.nbytes) for file, table in zip(files, tables)]
        _refuse_empty(path, blocks)
        super().__init__(path, blocks, len(blocks))
        self._load = tables.__getitem__
        self._tables = dict(zip(files, tables))

    def _load_texts(self, block: Block) -> pa.Table:
        return self._tables[block.path]


class _Cache:
    """Keeps the blocks used last; one that several threads want is read once."""

    def __init__(self, load: Callable[[int], pa.Table], capacity: int):
        self._load, self._capacity = load, capacity
        self._blocks: OrderedDict[int, Future] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, number: int) -> pa.Table:
        with self._lock:
            known = self._blocks.get(number)
            block = self._blocks.setdefault(number, Future()) if known is None else known
            self._blocks.move_to_end(number)
            if len(self._blocks) > self._capacity:
                self._blocks.popitem(last=False)
        if known is None:
            try:
                block.set_result(self._load(number))
            except BaseException as error:
                block.set_exception(error)
        return block.result()


def _row_groups(path: Path) -> Iterator[Block]:
    with open_parquet(path) as file:
        _check_schema(file.schema_arrow, path)
        first_row = 0
        for group in range(file.num_row_groups):
            metadata = file.metadata.row_group(group)
            yield Block(path, first_row, metadata.num_rows, metadata.total_byte_size, group)
            first_row += metadata.num_rows


def _text_leaves(file: pq.ParquetFile) -> list[str]:
    """The texts, and of the pictures only the path, which is enough to count them."""
    leaves = [file.schema.column(i).path for i in range(len(file.schema))]
    return [
        leaf for leaf in leaves if leaf.startswith("texts.") or (leaf.startswith("images.") and leaf.endswith(".path"))
    ]


def _read_row_group(block: Block, columns: Callable[[pq.ParquetFile], list[str]]) -> pa.Table:
    with open_parquet(block.path) as file:
        try:
            return file.read_row_group(block.group, columns=columns(file))
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(
                f"{block.path}: row group {block.group} cannot be read, the file is corrupt: {error}; download it again"
            ) from error


def _map_arrow_file(path: Path) -> pa.Table:
    try:
        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: cannot be read as a stream of arrow records: {error}; write it again") from error
    _check_schema(table.schema, path)
    return table


def _check_schema(schema: pa.Schema, path: Path) -> None:
    if missing := [name for name in _COLUMNS if name not in schema.names]:
        raise DatasetError(f"{path}: expected the columns 'images' and 'texts', got {schema.names}; missing: {missing}")
    for name, keys in (("images", ("bytes", "path")), ("texts", ("user", "assistant"))):
        kind = schema.field(name).type
        inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
        if inner is kind or not pa.types.is_struct(inner) or any(inner.get_field_index(key) < 0 for key in keys):
            raise DatasetError(f"{path}: expected '{name}' to be lists of {' and '.join(keys)}, got {kind}")


def _read_turns(texts: Sequence[object], where: str) -> Iterator[tuple[str, str]]:
    for number, turn in enumerate(texts):
        place = f"{where}, turn {number}"
        yield read_text(turn, "user", place), read_text(turn, "assistant", place)


def _refuse_empty(path: Path, blocks: Sequence[Block]) -> None:
    if sum(block.num_rows for block in blocks) == 0:
        raise DatasetError(f"{path}: the files have no rows; download them again")
