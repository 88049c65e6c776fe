"""The tables of a dataset: index columns, timestamps, numbers that are none, episodes that occur twice."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pistar_vf.errors import DatasetError
from pistar_vf.frames.episode_decoder import TIME_COLUMN
from pistar_vf.frames.open_table import STATE_COLUMN
from pistar_vf.health.findings import Findings, Place, Severity
from pistar_vf.health.opening import RESTORE
from pistar_vf.labels.value_labels import OLD_VALUE_COLUMN, REWARD_COLUMN, VALUE_COLUMN
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.frame_numbers import INTERVENTION_COLUMN, is_number_per_frame
from pistar_vf.lerobot.parquet import ColumnFormError, column_of, open_parquet
from pistar_vf.lerobot.row_rules import ADVICE, REPAIR, row_problems, wrong_rows
from pistar_vf.lerobot.v21 import INDEX_COLUMNS
from pistar_vf.progress import progress_bar
from pistar_vf.returns import RECAP_COLUMNS

LEROBOT_TOLERANCE_SECONDS = 1e-4
LABEL_COLUMNS = frozenset((*RECAP_COLUMNS, OLD_VALUE_COLUMN))
_VALUE_COLUMNS = (VALUE_COLUMN, OLD_VALUE_COLUMN)  # the check of the labels knows which NaN are meant
_RENUMBER = "`pistar-vf repair` and `pistar-vf merge` number it anew"
_READ_BY_TRAINING = frozenset(
    ("episode_index", "frame_index", "task_index", STATE_COLUMN, *_VALUE_COLUMNS, REWARD_COLUMN, INTERVENTION_COLUMN)
)
_WRITTEN_BY_OTHERS = frozenset((*INDEX_COLUMNS, *LABEL_COLUMNS))
_CHECK_NAMES = {INTERVENTION_COLUMN: "interventions"}

Columns = Mapping[str, np.ndarray]
"""Column to its values in one episode, [frames] or [frames, k]."""


def read_tables(dataset: LeRobotDataset, findings: Findings, progress: bool) -> Iterator[tuple[Episode, Columns]]:
    """Yields every episode with those of its columns that can be read, pictures left out; one file in memory."""
    names = [name for name in dataset.columns if name not in dataset.picture_keys]
    looked_at = _ColumnReader(dataset, findings)
    files: dict[Path, list[Episode]] = defaultdict(list)
    for episode in dataset.episodes:
        files[episode.parquet].append(episode)
    with progress_bar(
        total=len(dataset.episodes), desc="reading tables", unit=" episodes", disable=not progress
    ) as bar:
        for path, episodes in files.items():
            spans = [(episode.first_row, episode.length) for episode in episodes]
            columns = looked_at.read(path, names, spans, episodes[0])
            for i, episode in enumerate(episodes):
                yield episode, {name: parts[i] for name, parts in columns.items()}
                bar.update()


def severity_of(dataset: LeRobotDataset, column: str) -> Severity:
    """How bad it is that a column cannot be read: an error where training stops, which reads times for videos alone."""
    if column in _READ_BY_TRAINING or (column == TIME_COLUMN and dataset.video_keys):
        return "error"
    return "warning" if column in _WRITTEN_BY_OTHERS else "note"


class _ColumnReader:
    """Reads columns, and reports those that cannot be read; what is no column of numbers is noted once."""

    def __init__(self, dataset: LeRobotDataset, findings: Findings):
        self._dataset, self._findings = dataset, findings
        self._noted: set[str] = set()

    def read(
        self, path: Path, names: Sequence[str], spans: list[tuple[int, int]], episode: Episode
    ) -> dict[str, list[np.ndarray]]:
        """Those columns of one file that can be read; it is opened once."""
        try:
            with open_parquet(path) as file:
                found = {name: self._column(file, path, name, spans, episode) for name in names}
        except DatasetError as error:  # it could be opened a moment ago
            self._findings.error("table", str(error), RESTORE, file=path, episode=episode.index)
            return {}
        return {name: parts for name, parts in found.items() if parts is not None}

    def _column(
        self, file: pq.ParquetFile, path: Path, name: str, spans: list[tuple[int, int]], episode: Episode
    ) -> list[np.ndarray] | None:
        if path in self._dataset.schema.lacking.get(name, ()):
            return None  # reported with the features
        place: Place = {"file": path, "episode": episode.index, "key": name}
        try:
            return column_of(file, path, name, spans)
        except ColumnFormError as error:
            severity = severity_of(self._dataset, name)
            report = self._findings.error if severity == "error" else self._findings.warning
            if name == "index":
                report("index", str(error), _RENUMBER, **place)
            elif severity != "note":
                report("column", str(error), "write one number into every row", **place)
            elif name not in self._noted:
                self._noted.add(name)
                self._findings.note("not looked at", str(error), "nothing: it is carried as it is", **place)
        except DatasetError as error:
            self._findings.error("column", str(error), RESTORE, **place)
        return None


class TableCheck:
    """Checks one episode after the other, and in the end what only all of them show.

    Args:
        dataset: whose episodes they are.
        findings: gets what is wrong.

    Attributes:
        timestamps: episode index to the times of its rows, where they are numbers.
    """

    def __init__(self, dataset: LeRobotDataset, findings: Findings):
        self._dataset, self._findings = dataset, findings
        self._lowest: dict[str, np.ndarray] = {}
        self._highest: dict[str, np.ndarray] = {}
        self._digests: dict[bytes, int] = {}
        self.timestamps: dict[int, np.ndarray] = {}

    def add(self, episode: Episode, columns: Columns) -> None:
        """Checks one episode."""
        self._check_indices(episode, columns)
        if TIME_COLUMN in columns:
            self._check_times(episode, columns[TIME_COLUMN])
        if STATE_COLUMN in columns and columns[STATE_COLUMN].dtype.kind not in "biuf":
            problem = f"expected numbers, got {columns[STATE_COLUMN].dtype}"
            place: Place = {"file": episode.parquet, "episode": episode.index, "key": STATE_COLUMN}
            self._findings.error("state", problem, "pass --state_key, or --state_encoding none", **place)
        for name, values in columns.items():
            if values.dtype.kind == "f":
                self._check_finite(episode, name, values)
        self._note_range(episode, columns)
        self._check_duplicate(episode, columns)

    def finish(self) -> dict[str, list[str]]:
        """Reports what never changed; returns it: column to the names or numbers of its dimensions."""
        constant: dict[str, list[str]] = {}
        for name, low in self._lowest.items():
            still = np.flatnonzero(low == self._highest[name])
            if still.size:
                constant[name] = _dimension_names(self._dataset, name, still)
                problem = f"{still.size} of {low.size} dimensions never change: {', '.join(constant[name])}"
                self._findings.note("constant dimensions", problem, "check the recording if they should", key=name)
        return constant

    def _check_indices(self, episode: Episode, columns: Columns) -> None:
        place: Place = {"file": episode.parquet, "episode": episode.index}
        for wrong in row_problems(episode, columns):
            check, advice = _CHECK_NAMES.get(wrong.key, wrong.key), ADVICE.get(wrong.key, REPAIR)
            self._findings.error(check, wrong.problem, advice, key=wrong.key, frame=wrong.frame, **place)
        if "index" in columns:
            expected = np.arange(episode.start, episode.start + episode.length)
            for wrong in wrong_rows("index", columns["index"], expected):
                self._findings.warning("index", wrong.problem, _RENUMBER, key="index", frame=wrong.frame, **place)

    def _check_times(self, episode: Episode, times: np.ndarray) -> None:
        if is_number_per_frame(times):
            self.timestamps[episode.index] = times
            self._check_timestamps(episode, times)
            return
        problem = f"expected one number per frame, got {times.dtype} of shape {times.shape}"
        place: Place = {"file": episode.parquet, "episode": episode.index, "key": TIME_COLUMN}
        report = self._findings.error if self._dataset.video_keys else self._findings.warning
        report(TIME_COLUMN, problem, REPAIR, **place)

    def _check_timestamps(self, episode: Episode, times: np.ndarray) -> None:
        place: Place = {"file": episode.parquet, "episode": episode.index, "key": "timestamp"}
        step = 1 / self._dataset.fps
        times = times.astype(np.float64)
        if not np.isfinite(times).all():
            return  # reported as such
        # float32 seconds grow coarse in long episodes.
        tolerance = LEROBOT_TOLERANCE_SECONDS + 2 * float(np.spacing(np.float32(np.abs(times).max())))
        gaps = np.diff(times)
        off = np.abs(gaps - step)
        if (gaps <= 0).any():
            frame = int(np.argmax(gaps <= 0)) + 1
            problem = f"expected times that grow, got {times[frame]:g} s after {times[frame - 1]:g} s"
            advice = "`pistar-vf repair` writes frame_index / fps, where rows and pictures are in order"
            self._findings.warning("timestamps grow", problem, advice, frame=frame, **place)
        elif (off > tolerance).any():
            frame = int(np.argmax(off > tolerance)) + 1
            problem = f"expected a step of {step:.6f} s ({self._dataset.fps:g} fps), got {gaps[frame - 1]:.6f} s"
            limit = f"LeRobot refuses more than {LEROBOT_TOLERANCE_SECONDS:g} s"
            advice = f"{limit}: `pistar-vf repair` writes frame_index / fps"
            self._findings.warning("timestamp spacing", problem, advice, frame=frame, **place)
        if abs(times[0]) > tolerance:
            problem = f"expected the first at 0 s, got {times[0]:g} s"
            advice = "LeRobot would show the wrong frames: subtract the first from all"
            self._findings.warning("timestamp start", problem, advice, frame=0, **place)

    def _check_finite(self, episode: Episode, name: str, values: np.ndarray) -> None:
        bad = ~np.isfinite(values.reshape(len(values), -1))
        if name in _VALUE_COLUMNS:
            bad &= ~np.isnan(values.reshape(bad.shape))
        rows = bad.any(1)
        if rows.any():
            frame = int(np.argmax(rows))
            problem = f"expected finite numbers, got {values[frame]} ({int(rows.sum())} frames of the episode)"
            place: Place = {"file": episode.parquet, "episode": episode.index, "key": name, "frame": frame}
            report = self._findings.error if name == STATE_COLUMN else self._findings.warning
            report("finite numbers", problem, "repair the recording or leave the episode out", **place)

    def _note_range(self, episode: Episode, columns: Columns) -> None:
        for name, values in columns.items():
            if values.dtype.kind == "f" and values.ndim == 2:
                low, high = values.min(0), values.max(0)
                if low.shape != self._lowest.get(name, low).shape:
                    problem = f"expected {len(self._lowest[name])} numbers as in other episodes, got {len(low)}"
                    place: Place = {"file": episode.parquet, "episode": episode.index, "key": name}
                    report = self._findings.error if name == STATE_COLUMN else self._findings.warning
                    report("size of vectors", problem, "leave the episode out", **place)
                    continue
                self._lowest[name] = np.minimum(self._lowest.get(name, low), low)
                self._highest[name] = np.maximum(self._highest.get(name, high), high)

    def _check_duplicate(self, episode: Episode, columns: Columns) -> None:
        """What was recorded, not what was computed from the episode's length; it must change to tell episodes apart."""
        recorded = {
            name: values
            for name, values in sorted(columns.items())
            if values.dtype.kind in "fiu" and name not in INDEX_COLUMNS and name not in LABEL_COLUMNS
        }
        if not any((values != values[0]).any() for values in recorded.values()):
            return
        digest = hashlib.sha1(usedforsecurity=False)
        for values in recorded.values():
            digest.update(np.ascontiguousarray(values).data)
        first = self._digests.setdefault(digest.digest(), episode.index)
        if first != episode.index:
            problem = f"the same numbers as episode {first} in {', '.join(recorded)}"
            advice = "leave one of them out: it counts twice, and may be in training and validation"
            self._findings.warning("duplicate", problem, advice, file=episode.parquet, episode=episode.index)


def _dimension_names(dataset: LeRobotDataset, column: str, dimensions: np.ndarray) -> list[str]:
    names = dataset.features.get(column, {}).get("names")
    while isinstance(names, (list, dict)) and len(names) == 1:  # [[…]] and {"motors": […]}
        (names,) = names.values() if isinstance(names, dict) else names
    if not isinstance(names, list) or len(names) <= dimensions.max():
        return [str(i) for i in dimensions]
    return [f"{i} ({names[i]})" for i in dimensions]
