"""The tables of a dataset: index columns, timestamps, numbers that are none, episodes that occur twice."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tqdm_loggable.auto import tqdm

from pistar_vf.errors import DatasetError
from pistar_vf.health.findings import Findings
from pistar_vf.health.opening import DOWNLOAD
from pistar_vf.labels.value_labels import OLD_VALUE_COLUMN, VALUE_COLUMN
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.parquet import read_parquet_column
from pistar_vf.lerobot.v21 import INDEX_COLUMNS
from pistar_vf.returns import RECAP_COLUMNS

LEROBOT_TOLERANCE_SECONDS = 1e-4
LABEL_COLUMNS = frozenset((*RECAP_COLUMNS, OLD_VALUE_COLUMN))
_VALUE_COLUMNS = (VALUE_COLUMN, OLD_VALUE_COLUMN)  # the check of the labels knows which NaN are meant
_RENUMBER = "`pistar-vf merge` of this dataset alone numbers it anew"

Columns = Mapping[str, np.ndarray]
"""Column to its values in one episode, [frames] or [frames, k]."""


def read_tables(dataset: LeRobotDataset, findings: Findings, progress: bool) -> Iterator[tuple[Episode, Columns]]:
    """Yields every episode with those of its columns that can be read, pictures left out; one file in memory."""
    names = [name for name in dataset.columns if name not in dataset.camera_keys]
    files: dict[Path, list[Episode]] = defaultdict(list)
    for episode in dataset.episodes:
        files[episode.parquet].append(episode)
    with tqdm(total=len(dataset.episodes), desc="reading tables", unit="episode", disable=not progress) as bar:
        for path, episodes in files.items():
            spans = [(episode.first_row, episode.length) for episode in episodes]
            columns: dict[str, list[np.ndarray]] = {}
            for name in names:
                try:
                    columns[name] = read_parquet_column(path, name, spans)
                except DatasetError as error:
                    findings.error("column", str(error), DOWNLOAD, file=path, episode=episodes[0].index, key=name)
            for i, episode in enumerate(episodes):
                yield episode, {name: parts[i] for name, parts in columns.items()}
                bar.update()


class TableCheck:
    """Checks one episode after the other, and in the end what only all of them show.

    Args:
        dataset: whose episodes they are.
        findings: gets what is wrong.
    """

    def __init__(self, dataset: LeRobotDataset, findings: Findings):
        self._dataset, self._findings = dataset, findings
        self._lowest: dict[str, np.ndarray] = {}
        self._highest: dict[str, np.ndarray] = {}
        self._digests: dict[bytes, int] = {}

    def add(self, episode: Episode, columns: Columns) -> None:
        """Checks one episode."""
        self._check_indices(episode, columns)
        if "timestamp" in columns and columns["timestamp"].dtype.kind in "fi":
            self._check_timestamps(episode, columns["timestamp"])
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
        frames = np.arange(episode.length)
        expected = {
            "episode_index": (np.full(episode.length, episode.index), self._findings.error, _RENUMBER),
            "frame_index": (frames, self._findings.error, "write it anew: 0, 1, 2, ..."),
            "index": (frames + episode.start, self._findings.warning, _RENUMBER),
        }
        for name, (wanted, report, advice) in expected.items():
            if name not in columns:
                continue
            wrong = columns[name] != wanted
            if wrong.any():
                frame = int(np.argmax(wrong))
                problem = (
                    f"expected {wanted[frame]}, got {columns[name][frame]} ({int(wrong.sum())} frames of the episode)"
                )
                report(name, problem, advice, file=episode.parquet, episode=episode.index, key=name, frame=frame)

    def _check_timestamps(self, episode: Episode, times: np.ndarray) -> None:
        place = {"file": episode.parquet, "episode": episode.index, "key": "timestamp"}
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
            self._findings.error("timestamps grow", problem, "sort or record the episode again", frame=frame, **place)
        elif (off > tolerance).any():
            frame = int(np.argmax(off > tolerance)) + 1
            problem = f"expected a step of {step:.6f} s ({self._dataset.fps:g} fps), got {gaps[frame - 1]:.6f} s"
            report = self._findings.error if off.max() > step / 2 else self._findings.warning
            advice = f"LeRobot refuses more than {LEROBOT_TOLERANCE_SECONDS:g} s: write frame_index / fps"
            report("timestamp spacing", problem, advice, frame=frame, **place)
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
            place = {"file": episode.parquet, "episode": episode.index, "key": name, "frame": frame}
            self._findings.error("finite numbers", problem, "repair the recording or leave the episode out", **place)

    def _note_range(self, episode: Episode, columns: Columns) -> None:
        for name, values in columns.items():
            if values.dtype.kind == "f" and values.ndim == 2:
                low, high = values.min(0), values.max(0)
                if low.shape != self._lowest.get(name, low).shape:
                    problem = f"expected {len(self._lowest[name])} numbers as in other episodes, got {len(low)}"
                    place = {"file": episode.parquet, "episode": episode.index, "key": name}
                    self._findings.error("size of vectors", problem, "leave the episode out", **place)
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
            digest.update(np.ascontiguousarray(values))
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
