"""Several datasets as one: the rows and episode numbers of each come after those of the datasets before it."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from pistar_vf.batch import ValueBatch
from pistar_vf.errors import ConfigError
from pistar_vf.frames.loader import Frames
from pistar_vf.labels.targets import Targets
from pistar_vf.labels.timeouts import Timeouts
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.returns import Outcome, in_words


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a dataset is among several.

    Attributes:
        first_number: added to its episode indices.
        first_row: added to its rows.
    """

    first_number: int
    first_row: int

    def of(self, episodes: Sequence[Episode]) -> tuple[Episode, ...]:
        """The episodes as they are numbered in the whole."""
        return tuple(
            dataclasses.replace(e, index=e.index + self.first_number, start=e.start + self.first_row) for e in episodes
        )


def place(datasets: Sequence[LeRobotDataset]) -> tuple[Place, ...]:
    """One after another; the first keeps its numbers."""
    places = [Place(0, 0)]
    for dataset in datasets[:-1]:
        last = places[-1]
        number = last.first_number + dataset.episodes[-1].index + 1
        places.append(Place(number, last.first_row + dataset.num_frames))
    return tuple(places)


def name_rows(datasets: Sequence[LeRobotDataset], places: Sequence[Place], rows: np.ndarray) -> str:
    """Rows of the whole as a person can find them: "toy episode 3 frames 5, 8; toy episode 4 frames 0"."""
    found: dict[str, list[int]] = {}
    for row in np.unique(rows[rows >= 0]).tolist():
        which = max(i for i, place in enumerate(places) if place.first_row <= row)
        own = row - places[which].first_row
        episode = datasets[which].episode_of(own)
        found.setdefault(f"{datasets[which].name} episode {episode.index}", []).append(own - episode.start)
    return "; ".join(f"{episode} frames {', '.join(map(str, frames))}" for episode, frames in found.items())


def join_targets(targets: Sequence[Targets], places: Sequence[Place], names: Sequence[str]) -> Targets:
    """The targets of all datasets, in one unit.

    Args:
        targets: of each dataset.
        places: where it is.
        names: what to call it in an error.

    Raises:
        ConfigError: the labels are in different units.
    """
    if any(t.normaliser != targets[0].normaliser for t in targets):
        lines = [
            f"  {name}: {in_words(t.conventions)}, {t.normaliser or 'in no known unit'}"
            for name, t in zip(names, targets)
        ]
        raise ConfigError(
            "expected labels in the same unit in every --data_dir, got\n" + "\n".join(lines) + "\n"
            "pass --target episode_ramp or --target paper to compute all of them by one rule"
        )
    outcomes: dict[int, Outcome] = {}
    for t, p in zip(targets, places):
        outcomes |= {index + p.first_number: outcome for index, outcome in (t.outcomes or {}).items()}
    timeouts = Timeouts(
        tuple(episode for t, p in zip(targets, places) for episode in p.of(t.timeouts.episodes)),
        tuple(task for t in targets for task in t.timeouts.tasks),
        targets[0].normaliser,
    )
    return Targets(
        labels=np.concatenate([t.labels for t in targets]),
        column=" and ".join(dict.fromkeys(t.column for t in targets)),
        conventions=tuple(dict.fromkeys(name for t in targets for name in t.conventions)),
        normaliser=targets[0].normaliser,
        outcomes=outcomes if all(t.outcomes is not None for t in targets) else None,
        timeouts=timeouts,
    )


class JoinedTable:
    """The frames of several datasets as one table.

    Args:
        tables: of each dataset, with the same cameras and sizes.
        labels: of all of them, one after another.
    """

    def __init__(self, tables: Sequence[Frames], labels: np.ndarray):
        self._tables, self.labels = tuple(tables), labels
        self.state_statistics = tables[0].state_statistics
        self._starts = np.cumsum([0] + [len(table.labels) for table in tables])

    def gather(self, rows: np.ndarray) -> ValueBatch:
        """The frames at `rows`; a row of -1 is padding and repeats frame 0 with `frame` = -1."""
        real = np.maximum(rows, 0)
        which = np.searchsorted(self._starts, real, side="right") - 1
        present = np.unique(which)
        parts = [self._tables[number].gather(real[which == number] - self._starts[number]) for number in present]
        back = np.argsort(np.concatenate([np.flatnonzero(which == number) for number in present]))
        batch = jax.tree.map(lambda *leaves: np.concatenate(leaves)[back], *parts)
        return batch.replace(target=self.labels[real], frame=rows.astype(np.int32))
