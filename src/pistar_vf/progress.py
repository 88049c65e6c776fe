"""Progress of a stage: a bar on a terminal or in a notebook; in a log one line at its end, more where it is long."""

import logging
import time
from collections.abc import Callable
from typing import Any

from tqdm_loggable.auto import tqdm as best_for_here
from tqdm_loggable.tqdm_logging import tqdm_logging

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 300.0


class ProgressLines(tqdm_logging):
    """What a log gets: `values: 10,844 frames in 01:30`."""

    clock: Callable[[], float] = time.monotonic

    def __init__(self, *args: Any, **kwargs: Any):
        self._last_line = type(self).clock()
        super().__init__(*args, **kwargs)

    def should_throttle_logging(self) -> bool:
        """Whether it is too early for another line; the last one always comes."""
        if self.disable:
            return False
        now = type(self).clock()
        if now - self._last_line < _SECONDS_BETWEEN_LINES:
            return True
        self._last_line = now
        return False

    def display(self, **_: Any) -> None:
        """Writes a line, if it is time."""
        if self.should_throttle_logging():
            return
        found = self.format_dict
        total = "" if found["total"] in (None, found["n"]) else f" of {found['total']:,}"
        elapsed = self.format_interval(found["elapsed"])
        _log.info("%s: %s%s %s in %s", found["prefix"], f"{found['n']:,}", total, found["unit"].strip(), elapsed)


progress_bar: Any = ProgressLines if issubclass(best_for_here, tqdm_logging) else best_for_here
"""As tqdm, in the form that fits where it is shown."""
