"""How often each parquet file of a dataset is opened."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest


@pytest.fixture
def opened(monkeypatch) -> Counter[Path]:
    """Path to number of opens since the test began."""
    counted: Counter[Path] = Counter()

    class CountingFile(pq.ParquetFile):
        def __init__(self, source, *args, **options):
            counted[Path(source)] += 1
            super().__init__(source, *args, **options)

    monkeypatch.setattr(pq, "ParquetFile", CountingFile)
    return counted


def tables(dataset, counted: Counter[Path]) -> list[int]:
    """The opens of each of a dataset's tables."""
    return [counted[path] for path in dataset.files()]
