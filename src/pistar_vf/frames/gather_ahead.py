"""Batches gathered by threads while the previous one is being used, in order."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

_LOOKAHEAD = 3
"""Batches that may be ready or under way beyond one per thread."""

Batch = TypeVar("Batch")


def gather_ahead(
    gather: Callable[[np.ndarray], Batch], row_batches: Iterator[np.ndarray], num_workers: int
) -> Iterator[Batch]:
    """`map(gather, row_batches)`, some batches ahead.

    Args:
        gather: rows to a batch; spends its time where the interpreter is released (copies, reading, decoding).
        row_batches: the rows of every batch, perhaps without end.
        num_workers: threads; 0 gathers in the caller.
    """
    if num_workers <= 0:
        yield from map(gather, row_batches)
        return
    with ThreadPoolExecutor(num_workers, thread_name_prefix="gather") as pool:
        pending: deque[Future[Batch]] = deque()
        for rows in row_batches:
            pending.append(pool.submit(gather, rows))
            if len(pending) >= num_workers + _LOOKAHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
