"""What each frame of a dataset is trained on: its labels as they are, or a rule applied to the episodes' outcomes."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np

from pistar_vf.choices import TargetRule
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.labels.timeouts import Timeouts
from pistar_vf.labels.value_labels import (
    REWARD_COLUMN,
    find_value_column,
    frames_of,
    read_numbers,
    read_rewards,
    read_value_labels,
)
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.returns import OPEN_ENDED, Normaliser, Outcome, find_convention, in_words
from pistar_vf.returns.recognise import LabelColumns, check_convention, fitting_conventions, paper_scale, shown_failures
from pistar_vf.typing import Float

IN_FRAMES = "nttg"
"""The convention whose labels count frames and are brought into [-1, 0] here."""


@dataclasses.dataclass(frozen=True)
class Targets:
    """The training targets of a dataset.

    Attributes:
        labels: of every frame, float32 in [-1, 0]; NaN in time-outs and fragments.
        column: where they came from, "" when they were computed from outcomes.
        conventions: names of the rules that may have made them; several where the data cannot tell, none where none of
            the known ones fits.
        normaliser: what scaled them, None where the convention does not say.
        outcomes: episode index to outcome, as the caller or else the labels say; None where neither does.
        timeouts: episodes whose targets are left to training.
    """

    labels: Float[np.ndarray, " t"]
    column: str
    conventions: tuple[str, ...]
    normaliser: Normaliser | None
    outcomes: Mapping[int, Outcome] | None
    timeouts: Timeouts

    @property
    def ended(self) -> Mapping[int, Outcome]:
        """The outcomes, of targets that were computed from them."""
        assert self.outcomes is not None
        return self.outcomes

    @property
    def fragments(self) -> frozenset[int]:
        """Indices of the episodes that are pieces of episodes: neither trained nor validated on, nor evaluated."""
        return _of_outcome(self.outcomes, Outcome.FRAGMENT)

    @property
    def open_ended(self) -> frozenset[int]:
        """Indices of the episodes of which nobody knows what their frames are worth."""
        return _of_outcome(self.outcomes, *OPEN_ENDED)


def read_targets(
    dataset: LeRobotDataset,
    rule: TargetRule = "dataset",
    *,
    column: str | None = None,
    convention: str | None = None,
    outcomes: Mapping[int, Outcome] | None = None,
    failure_penalty: float | None = None,
    normaliser: Normaliser | None = None,
) -> Targets:
    """The targets of a dataset.

    Args:
        dataset: all of its episodes; all of them, held-out ones too, decide a task's maximum length.
        rule: "dataset" takes the value column as it is, divided by the task's longest episode where it counts frames;
            the others compute targets from outcomes.
        column: value column, see `read_value_labels`.
        convention: the declared convention of the columns, None to recognise it.
        outcomes: how every episode ended; None tells it from the value labels, where their convention shows it.
        failure_penalty: see `Normaliser`.
        normaliser: of a model that is trained already, or of its training dataset; None measures this dataset.

    Raises:
        ConfigError: a failure penalty where it has no effect, or an unknown convention.
        LabelError: labels are missing or contradict the convention or the outcomes, outcomes are needed, or a task
            is unknown to the normaliser.
    """
    if rule == "dataset":
        if failure_penalty is not None:
            raise ConfigError(
                f"--failure_penalty {failure_penalty}: expected --target paper with it, got --target dataset, which "
                "takes the labels as they are; leave it out, or pass --target paper"
            )
        return _column_targets(dataset, column, convention, outcomes, normaliser)
    column = "" if outcomes is not None else column or find_value_column(dataset)
    outcomes = outcomes or _shown_outcomes(dataset, column, convention)
    normaliser = normaliser or measure_normaliser([dataset], rule, failure_penalty, outcomes=[outcomes])
    return _computed(dataset, normaliser, outcomes, column, rule)


def _computed(
    dataset: LeRobotDataset, normaliser: Normaliser, outcomes: Mapping[int, Outcome], column: str, convention: str
) -> Targets:
    tasks = tasks_of_rule(dataset, normaliser.rule)
    labels = normaliser.targets(dataset.layout.lengths, tasks, [outcomes[e.index] for e in dataset.episodes])
    return Targets(labels, column, (convention,), normaliser, outcomes, _timeouts(dataset, tasks, outcomes, normaliser))


def measure_normaliser(
    datasets: Sequence[LeRobotDataset],
    rule: Literal["episode_ramp", "paper"],
    failure_penalty: float | None = None,
    *,
    outcomes: Sequence[Mapping[int, Outcome] | None] | None = None,
) -> Normaliser:
    """The normaliser of all episodes of some datasets together; see `Normaliser`.

    Args:
        datasets: all of their episodes count.
        rule: see `Normaliser`.
        failure_penalty: see `Normaliser`.
        outcomes: how the episodes of each dataset ended, where that is known: the length of a fragment says nothing
            about its task.

    Raises:
        ConfigError: a failure penalty where it has no effect.
        LabelError: an episode has several prompts, or there are fragments alone.
    """
    pieces = [_of_outcome(own, Outcome.FRAGMENT) for own in outcomes or (None,) * len(datasets)]
    whole = [
        (episode.length, task)
        for dataset, own in zip(datasets, pieces, strict=True)
        for episode, task in zip(dataset.episodes, tasks_of_rule(dataset, rule), strict=True)
        if episode.index not in own
    ]
    if not whole:
        raise LabelError(
            f"{datasets[0].root}: expected whole episodes to measure tasks by, got fragments alone; merge "
            "demonstrations or whole rollouts of these tasks with them (`pistar-vf merge`)"
        )
    lengths = np.array([length for length, _ in whole], np.int64)
    return Normaliser.measure(rule, lengths, [task for _, task in whole], failure_penalty)


def episode_tasks(dataset: LeRobotDataset) -> tuple[str, ...]:
    """The prompt of every episode.

    Raises:
        LabelError: an episode has several prompts, so that no task's maximum length applies to it.
    """
    index = dataset.prompt_index()
    first = index[dataset.layout.starts]
    changing = index != dataset.layout.spread(first)
    if changing.any():
        row = int(np.argmax(changing))
        episode = dataset.episode_of(row)
        raise LabelError(
            f"{dataset.root}, episode {episode.index}, frame {row - episode.start}: expected one prompt per episode to "
            f"normalise by the task's maximum length, got '{dataset.prompts[index[episode.start]]}', then "
            f"'{dataset.prompts[index[row]]}'; pass --target episode_ramp"
        )
    return tuple(dataset.prompts[number] for number in first)


def _column_targets(
    dataset: LeRobotDataset,
    column: str | None,
    declared: str | None,
    outcomes: Mapping[int, Outcome] | None,
    normaliser: Normaliser | None,
) -> Targets:
    column = column or find_value_column(dataset)
    cut_off = _of_outcome(outcomes, *OPEN_ENDED)
    columns, names = _read_columns(dataset, column, declared, cut_off)
    kept = [episode for episode in dataset.episodes if episode.index not in cut_off]
    failed = shown_failures(columns, names) if kept else None
    shown = None if failed is None else _as_outcomes(kept, failed)
    if outcomes is not None:
        _check_outcomes(dataset, column, shown or {}, outcomes)
    if names == (IN_FRAMES,):
        normaliser = normaliser or measure_normaliser([dataset], "paper", outcomes=[outcomes])
        return _computed(dataset, normaliser, outcomes or shown or {}, column, IN_FRAMES)
    labels = read_value_labels(dataset, column, cut_off)
    normaliser = normaliser or _shown_normaliser(dataset, columns, names)
    timed_out = _of_outcome(outcomes, Outcome.TIMEOUT)
    if timed_out and normaliser is None:
        raise LabelError(
            f"column '{column}' of {dataset.root}: expected a convention that says what a step is worth, to bootstrap "
            f"{len(timed_out)} time-outs, got {in_words(names)}; pass --target episode_ramp or paper, "
            "or declare it with --label_convention"
        )
    tasks = tasks_of_rule(dataset, normaliser.rule if timed_out and normaliser is not None else "episode_ramp")
    timeouts = _timeouts(dataset, tasks, outcomes or {}, normaliser)
    said = shown if outcomes is None else outcomes
    return Targets(labels, column, names, normaliser, said, timeouts)


def _read_columns(
    dataset: LeRobotDataset, column: str, declared: str | None, cut_off: Collection[int]
) -> tuple[LabelColumns, tuple[str, ...]]:
    """The label columns of all episodes whose end is known, and the conventions that they may follow."""
    if column not in dataset.columns:
        read_value_labels(dataset, column)  # refuses
    columns = _label_columns(dataset, read_numbers(dataset, column), cut_off)
    names = fitting_conventions(columns) if declared is None else (declared,)
    if names != (IN_FRAMES,):
        read_value_labels(dataset, column, cut_off)  # refuses what is not in [-1, 0]
    if declared is not None:
        numbers = np.array([e.index for e in dataset.episodes if e.index not in cut_off], np.int64)
        try:
            check_convention(declared, columns, numbers)
        except LabelError as error:
            raise LabelError(f"{dataset.root}: {error}") from error
    return columns, names


def _label_columns(dataset: LeRobotDataset, labels: np.ndarray, cut_off: Collection[int]) -> LabelColumns:
    """The columns of all episodes but time-outs and fragments, whose labels are nobody's convention."""
    kept = ~frames_of(dataset, cut_off)
    rewards = read_rewards(dataset, cut_off)[kept] if REWARD_COLUMN in dataset.columns else None
    episodes = [episode for episode in dataset.episodes if episode.index not in cut_off]
    starts = [episode.start for episode in episodes]
    lengths = np.array([episode.length for episode in episodes], np.int64)
    return LabelColumns(labels[kept], rewards, lengths, dataset.prompt_index()[starts].astype(np.int64))


def _shown_normaliser(dataset: LeRobotDataset, columns: LabelColumns, names: Sequence[str]) -> Normaliser | None:
    forms = {find_convention(name).form for name in names}
    if forms == {"episode"}:
        return Normaliser("episode_ramp")
    scale = paper_scale(columns) if forms == {"task"} and columns.reward is not None else None
    if scale is None:
        return None
    return Normaliser("paper", {dataset.prompts[task]: length for task, length in scale[0].items()}, scale[1])


def _shown_outcomes(dataset: LeRobotDataset, column: str, declared: str | None) -> dict[int, Outcome]:
    """Outcomes from value labels, see `shown_failures`."""
    columns, names = _read_columns(dataset, column, declared, ())
    failed = shown_failures(columns, names)
    if failed is None:
        raise LabelError(
            f"column '{column}' of {dataset.root}: expected labels that tell failures from successes, got the "
            f"convention {in_words(names)}; say how the episodes ended with --outcome_column or "
            "--outcome_file"
        )
    return _as_outcomes(dataset.episodes, failed)


def _as_outcomes(episodes: Sequence[Episode], failed: np.ndarray) -> dict[int, Outcome]:
    return {e.index: Outcome.FAILURE if lost else Outcome.SUCCESS for e, lost in zip(episodes, failed, strict=True)}


def _check_outcomes(
    dataset: LeRobotDataset, column: str, shown: Mapping[int, Outcome], outcomes: Mapping[int, Outcome]
) -> None:
    """Refuses labels that say another outcome than the caller."""
    for index, outcome in shown.items():
        if outcomes[index] is not outcome:
            raise LabelError(
                f"column '{column}' of {dataset.root}, episode {index}: expected the labels of a {outcomes[index]}, as "
                f"--outcome_column or --outcome_file says, got those of a {outcome}; label the dataset again with "
                "`pistar-vf label`"
            )


def _of_outcome(outcomes: Mapping[int, Outcome] | None, *wanted: Outcome) -> frozenset[int]:
    return frozenset(index for index, outcome in (outcomes or {}).items() if outcome in wanted)


def _timeouts(
    dataset: LeRobotDataset, tasks: Sequence[str], outcomes: Mapping[int, Outcome], normaliser: Normaliser | None
) -> Timeouts:
    cut_off = _of_outcome(outcomes, Outcome.TIMEOUT)
    pairs = [pair for pair in zip(dataset.episodes, tasks) if pair[0].index in cut_off]
    return Timeouts(tuple(episode for episode, _ in pairs), tuple(task for _, task in pairs), normaliser)


def tasks_of_rule(dataset: LeRobotDataset, rule: str) -> tuple[str, ...]:
    """The prompt of every episode where a target rule asks for it, else "".

    Raises:
        LabelError: see `episode_tasks`.
    """
    return episode_tasks(dataset) if rule == "paper" else ("",) * len(dataset.episodes)
