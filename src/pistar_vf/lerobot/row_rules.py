"""What the rows of an episode must say: one criterion for `check`, which reports, and training, which stops.

Which frame a row is and whose, everything else is counted from. Rows that say otherwise are of another episode, in
another order, or written by a recorder that counts differently; nobody can tell which.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.frame_numbers import INTERVENTION_COLUMN, is_number_per_frame

REPAIR = "`pistar-vf repair` writes a copy with it numbered anew"
ADVICE = {INTERVENTION_COLUMN: "write 1 where the operator was driving, else 0"}
"""What to do about a column; `REPAIR` about the others."""
CHECKED_COLUMNS = ("episode_index", "frame_index", INTERVENTION_COLUMN)


@dataclasses.dataclass(frozen=True)
class RowProblem:
    """Rows of an episode that are not what they should be.

    Attributes:
        key: the column.
        frame: the first of them.
        problem: what was expected and what is there.
    """

    key: str
    frame: int
    problem: str


def row_problems(episode: Episode, columns: Mapping[str, np.ndarray]) -> Iterator[RowProblem]:
    """What is wrong with the index columns and flags of one episode, of those that are there.

    Args:
        episode: whose rows they are.
        columns: column to its values, [frames].
    """
    expected = {"episode_index": np.full(episode.length, episode.index), "frame_index": np.arange(episode.length)}
    for key, wanted in expected.items():
        if key in columns:
            yield from wrong_rows(key, columns[key], wanted)
    if INTERVENTION_COLUMN in columns:
        yield from _wrong_flags(columns[INTERVENTION_COLUMN])


def _wrong_flags(values: np.ndarray) -> Iterator[RowProblem]:
    if not is_number_per_frame(values):
        yield RowProblem(INTERVENTION_COLUMN, 0, f"expected one flag per frame, got {values.dtype} of {values.shape}")
        return
    flags = values.reshape(-1)
    wrong = ~np.isin(flags, (0, 1))
    if wrong.any():
        frame = int(np.argmax(wrong))
        yield RowProblem(INTERVENTION_COLUMN, frame, f"expected 0 or 1, got {flags[frame]}")


def wrong_rows(key: str, values: np.ndarray, expected: np.ndarray) -> Iterator[RowProblem]:
    """The first row that is not what was expected, if any."""
    found = values.reshape(-1) if values.size == len(values) else values
    wrong = found != expected if found.shape == expected.shape else np.ones(len(expected), bool)
    if wrong.any():
        frame = int(np.argmax(wrong))
        count = f"{int(wrong.sum())} frames of the episode"
        yield RowProblem(key, frame, f"expected {expected[frame]}, got {found[frame]} ({count})")


def require_sound_rows(dataset: LeRobotDataset, episodes: tuple[Episode, ...] | None = None) -> None:
    """Refuses a dataset of which `check` would report a row problem.

    Args:
        dataset: the dataset.
        episodes: those in use; None for all.

    Raises:
        DatasetError: names the file, the episode, the column and the frame.
    """
    chosen = dataset.episodes if episodes is None else episodes
    present = [key for key in CHECKED_COLUMNS if key in dataset.columns]
    columns = {key: dataset.read_column(key, chosen) for key in present}
    start = 0
    for episode in chosen:
        rows = slice(start, start := start + episode.length)
        for found in row_problems(episode, {key: values[rows] for key, values in columns.items()}):
            raise DatasetError(
                f"{episode.parquet}: episode {episode.index}, column '{found.key}', frame {found.frame}: "
                f"{found.problem}; {ADVICE.get(found.key, REPAIR)}, or leave the episode out"
            )
