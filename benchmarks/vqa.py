"""Samples per second from question-answer data of realistic size, and what the windows are for.

python benchmarks/vqa.py [--pictures 3000] [--rows_per_group 100] [--size 224] [--batch_size 32] [--batches 150]
    [--num_workers 2] [--window_mib 64]

Pictures are 640 x 480 JPEG files of about 50 KB with five questions each, as in VQAv2; a row group of 100 or 1000 rows
is what `datasets` writes. One window holds a part of the file only, as it would of real data.
"""

import argparse
import io
import itertools
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pistar_vf.batch import LanguageBatch
from pistar_vf.questions.answer_encoder import AnswerEncoder, training_texts
from pistar_vf.questions.language_table import LanguageOrder, LanguageTable, train_language_batches
from pistar_vf.questions.open_source import open_vqa_source
from pistar_vf.questions.record_index import index_records
from pistar_vf.tokenizer import train_prompt_tokenizer

QUESTIONS = [("what colour is the bus?", "red"), ("how many people are there?", "3"), ("is it raining?", "no")]
QUESTIONS += [("what is the man on the left holding?", "umbrella"), ("where was this picture taken?", "city street")]
_DISTINCT = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = {"pictures": 3000, "rows_per_group": 100, "size": 224, "batch_size": 32, "batches": 150}
    for name, default in {**defaults, "num_workers": 2, "window_mib": 64}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parquet, arrow = write(Path(folder), args.pictures, args.rows_per_group)
        megabytes = parquet.stat().st_size / 1e6
        print(f"{args.pictures} pictures, {1000 * megabytes / args.pictures:.0f} KB each, {megabytes:.0f} MB")
        for name, path, window_mib in (
            ("parquet", parquet, args.window_mib),
            ("parquet without windows, 2 groups kept", parquet, 0),
            ("arrow", arrow, args.window_mib),
        ):
            measure(name, path, window_mib, args)


def measure(name: str, path: Path, window_mib: int, args: argparse.Namespace) -> None:
    source = open_vqa_source(path, window_bytes=window_mib * 2**20)
    kept_in_memory = source.blocks_per_window
    encoder = AnswerEncoder(train_prompt_tokenizer(training_texts(source, 1000)), max_token_len=64)
    start = time.perf_counter()
    index = index_records(source, encoder, progress=False)
    indexed = len(index.sample) / (time.perf_counter() - start)
    table = LanguageTable(source, index, encoder, ("base_0_rgb",), args.size)
    if not window_mib:
        source.blocks_per_window = len(source.block_starts)  # the order is drawn from this, the cache is made already
        args = argparse.Namespace(**{**vars(args), "batches": args.batches // 8})
    batches = train_language_batches(table, LanguageOrder(table, args.batch_size, seed=0), 0, args.num_workers)
    rate, cpu, slowest = throughput(batches, args.batches, args.batch_size)
    print(
        f"{name:38s} {rate:6.0f} samples/s   {1000 * cpu:5.1f} ms CPU each   slowest batch {1000 * slowest:5.0f} ms   "
        f"{kept_in_memory}/{len(source.block_starts)} blocks a window   index {indexed:7.0f} questions/s"
    )


def throughput(batches: Iterator[LanguageBatch], count: int, batch_size: int) -> tuple[float, float, float]:
    """Samples per second, seconds of all CPUs per sample, and the longest wait for a batch, after the first batch."""
    next(batches)
    times, cpu = [time.perf_counter()], time.process_time()
    for _ in itertools.islice(batches, count):
        times.append(time.perf_counter())
    samples = count * batch_size
    return samples / (times[-1] - times[0]), (time.process_time() - cpu) / samples, max(np.diff(times))


def write(folder: Path, pictures: int, rows_per_group: int) -> tuple[Path, Path]:
    """The same rows as one parquet and one arrow file."""
    rng = np.random.default_rng(0)
    encoded = [picture(rng) for _ in range(min(_DISTINCT, pictures))]
    texts = [{"user": question, "assistant": answer, "source": "synthetic"} for question, answer in QUESTIONS]
    parquet, arrow = folder / "train.parquet", folder / "train.arrow"
    table = next(iter(tables(encoded, texts, [1])))
    with (
        pq.ParquetWriter(parquet, table.schema) as parquet_writer,
        pa.ipc.new_stream(arrow, table.schema) as arrow_writer,
    ):
        for table in tables(encoded, texts, np.diff([*range(0, pictures, rows_per_group), pictures]).tolist()):
            parquet_writer.write_table(table)
            arrow_writer.write_table(table)
    return parquet, arrow


def tables(encoded: list[bytes], texts: list[dict], sizes: Iterable[int]) -> Iterator[pa.Table]:
    """Every picture ends with bytes of its own: parquet would store equal ones once."""
    image_type, number = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])), itertools.count()
    for size in sizes:
        numbers = [next(number) for _ in range(size)]
        images = [[{"bytes": encoded[i % len(encoded)] + i.to_bytes(8, "big"), "path": None}] for i in numbers]
        yield pa.table({"images": pa.array(images, image_type), "texts": pa.array([texts] * size)})


def picture(rng: np.random.Generator) -> bytes:
    """Blurred noise that takes about 50 KB."""
    coarse = Image.fromarray(rng.integers(0, 256, (120, 160, 3), np.uint8)).resize((640, 480), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    coarse.save(buffer, "JPEG", quality=35)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
