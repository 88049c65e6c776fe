"""Names the convention of label columns from their numbers, and says so when several fit or none does."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.errors import LabelError
from pistar_vf.returns.conventions import CONVENTIONS, Convention, find_convention, step_labels
from pistar_vf.returns.outcome import LABEL_TOLERANCE, all_at_bottom
from pistar_vf.typing import Bool, Float, Int, Shaped

_RELATIVE = 1e-3  # by which two lengths of one task may differ


@dataclasses.dataclass(frozen=True)
class LabelColumns:
    """The label columns of some whole episodes, one after another; time-outs are left out by the caller.

    Attributes:
        value: `value_label` of every frame.
        reward: `reward_label` of every frame, None where there is no such column.
        lengths: frames of each episode, at least 1.
        tasks: number of each episode's task.
    """

    value: Float[np.ndarray, " t"]
    reward: Float[np.ndarray, " t"] | None
    lengths: Int[np.ndarray, " e"]
    tasks: Int[np.ndarray, " e"]

    @property
    def layout(self) -> EpisodeLayout:
        """How the frames divide into episodes."""
        return EpisodeLayout(self.lengths)

    @property
    def rewards(self) -> Float[np.ndarray, " t"]:
        """The reward column, where what is asked for needs one."""
        assert self.reward is not None
        return self.reward


def fitting_conventions(columns: LabelColumns) -> tuple[str, ...]:
    """The names of all conventions that fit every episode.

    One name is a recognised convention, none an unknown one. Several mean that the data cannot tell: a dataset of
    successes, for one, does not show what the last reward of a failure is. The two forms that fit many numbers,
    "paper" and "srpo_progress", are considered last, and only with rewards to check them against.
    """
    for form in ("episode", "frames", "task", "progress") if columns.reward is not None else ("episode", "frames"):
        names = tuple(c.name for c in CONVENTIONS.values() if c.form == form and _fits(c, columns))
        if names:
            return names
    return ()


def shown_failures(columns: LabelColumns, names: Sequence[str]) -> Bool[np.ndarray, " e"] | None:
    """Which episodes the labels say are failures; None where they do not say.

    Conventions that count an episode's own steps give a failure -1 in every frame, and nothing else; in frames it is
    another number than 0. In "paper" and "srpo_progress" the last reward carries the penalty.

    Args:
        columns: at least one episode.
        names: the conventions that fit, see `fitting_conventions`.
    """
    conventions = [find_convention(name) for name in names]
    if not conventions or not all(convention.has_failures for convention in conventions):
        return None
    if all(convention.form == "episode" for convention in conventions):
        return all_at_bottom(columns.value, columns.layout)
    if all(convention.form == "frames" for convention in conventions):
        return _end_below_zero(columns)
    if columns.reward is None:
        return None
    return columns.reward[columns.layout.last_frames] < -LABEL_TOLERANCE


def check_convention(name: str, columns: LabelColumns, episode_numbers: Int[np.ndarray, " e"]) -> None:
    """Refuses a declared convention that the columns contradict.

    Args:
        name: the declared one.
        columns: what is there.
        episode_numbers: what to call each episode in the error.

    Raises:
        ConfigError: there is no such convention.
        LabelError: names the first frame that differs.
    """
    convention = find_convention(name)
    readings = _readings(convention, columns)
    contradicted = ~_episodes_that_fit(readings, columns.layout)
    if contradicted.any():
        episode = int(np.argmax(contradicted))
        raise LabelError(_contradiction(convention, columns, readings, episode, episode_numbers))
    misplaced = _misplaced_constants(convention, columns)
    if misplaced.any():
        episode = int(np.argmax(misplaced))
        raise LabelError(
            f"episode {episode_numbers[episode]}: expected the one number of a failure ('{name}') to be that of the "
            f"task's other failures and no higher than the labels of its successes, got "
            f"{columns.value[columns.layout.starts[episode]]:g}; declare another convention or none"
        )
    if convention.form == "task" and columns.reward is not None and paper_scale(columns) is None:
        raise LabelError(
            "expected reward labels that divide every task by one length ('paper'), got several lengths or failure "
            "penalties for one task; label the dataset again with `pistar-vf label`"
        )


def paper_scale(columns: LabelColumns) -> tuple[dict[int, int], float | None] | None:
    """What "paper" columns were divided by.

    Returns:
        (task number to length, failure penalty as `Normaliser` has it), or None where one task has several lengths
        or the penalties differ. Tasks with one-frame episodes only have no length.
    """
    layout, long = columns.layout, columns.lengths > 1
    reward = columns.rewards.astype(np.float64)
    length = -1.0 / reward[layout.starts[long]]
    found = {int(task): length[columns.tasks[long] == task] for task in np.unique(columns.tasks[long])}
    end = reward[layout.last_frames[long]]
    penalty = -(end * length)[end < 0]
    at_bottom = np.abs(end[end < 0] + 1) <= LABEL_TOLERANCE
    if any(_spread(lengths) > _RELATIVE for lengths in found.values()):
        return None
    if not at_bottom.all() and _spread(penalty) > _RELATIVE:
        return None
    scale = {task: round(float(lengths.mean())) for task, lengths in found.items()}
    return scale, None if at_bottom.all() else float(np.round(penalty.mean(), 3))


def _end_below_zero(columns: LabelColumns) -> Bool[np.ndarray, " e"]:
    """Which episodes are failures in labels that count frames."""
    return np.abs(columns.value[columns.layout.last_frames]) > LABEL_TOLERANCE


def _misplaced_constants(convention: Convention, columns: LabelColumns) -> Bool[np.ndarray, " e"]:
    """Failures in frames whose number is not low, or not that of the task's other failures."""
    if convention.form != "frames":
        return np.zeros(len(columns.lengths), bool)
    failed = _end_below_zero(columns)
    number = columns.value[columns.layout.last_frames]
    lowest = np.zeros(columns.tasks.max(initial=0) + 1)
    first_of_task = np.zeros(len(lowest))
    np.minimum.at(lowest, columns.tasks[~failed], 1.0 - columns.lengths[~failed])
    first_of_task[columns.tasks[failed][::-1]] = number[failed][::-1]
    differs = np.abs(number - first_of_task[columns.tasks]) > LABEL_TOLERANCE
    return failed & (differs | (number > lowest[columns.tasks] + LABEL_TOLERANCE))


def _spread(numbers: np.ndarray) -> float:
    return float(np.ptp(numbers) / np.abs(numbers).min()) if len(numbers) else 0.0


def _fits(convention: Convention, columns: LabelColumns) -> bool:
    if not _episodes_that_fit(_readings(convention, columns), columns.layout).all():
        return False
    if _misplaced_constants(convention, columns).any():
        return False
    if convention.form == "frames" and not (columns.value < -1 - LABEL_TOLERANCE).any():
        return False
    if convention.form == "progress":
        return _steps_vary(columns)
    return convention.form != "task" or paper_scale(columns) is not None


def _steps_vary(columns: LabelColumns) -> bool:
    """Whether some frames of an episode are worth more than others: a measured progress, not a count of steps."""
    layout = columns.layout
    differs = np.abs(columns.rewards - layout.spread(columns.rewards[layout.starts])) > LABEL_TOLERANCE
    differs[layout.last_frames] = False
    return bool(differs.any())


@dataclasses.dataclass(frozen=True)
class _Reading:
    """The columns that the convention asks for if every episode is of one outcome, and the frames that differ."""

    outcome: str
    value: np.ndarray
    reward: np.ndarray | None
    differs: Bool[np.ndarray, " t"]


def _readings(convention: Convention, columns: LabelColumns) -> list[_Reading]:
    outcomes = ("success", "failure") if convention.has_failures else ("success",)
    readings = []
    for outcome in outcomes:
        value, reward = _expected(convention, columns, failed=outcome == "failure")
        compared = columns.reward is not None and convention.has_rewards
        # Written so that a NaN differs.
        with np.errstate(invalid="ignore"):
            differs = ~(np.abs(columns.value - value) <= LABEL_TOLERANCE)
        if compared:
            differs |= ~(np.abs(columns.rewards - reward) <= LABEL_TOLERANCE)
        readings.append(_Reading(outcome, value, reward if compared else None, differs))
    return readings


def _expected(convention: Convention, columns: LabelColumns, failed: bool) -> tuple[np.ndarray, np.ndarray]:
    """The two columns by a convention; what it leaves open is taken from the columns themselves."""
    if convention.form == "episode":
        return step_labels(convention, columns.lengths, np.full(len(columns.lengths), failed))
    layout = columns.layout
    last = layout.last_frames
    if convention.form == "frames":
        constant = layout.spread(columns.value[last])
        return (constant if failed else -layout.steps_left().astype(np.float64)), constant
    if columns.reward is None:
        return columns.value, columns.value
    if convention.form == "progress":
        reward = columns.value - np.append(columns.value[1:], 0.0)
        reward[last] = columns.value[last] if failed else 0.0
        return columns.value, reward
    # One-frame episodes show no step; any will do.
    cost = np.where(columns.lengths > 1, -columns.reward[layout.starts], 1.0).astype(np.float64)
    cost[cost <= 0] = np.nan
    end = np.minimum(columns.reward[last], 0.0) if failed else np.zeros(len(last))
    value = layout.spread(end) - layout.steps_left() * layout.spread(cost)
    reward = -layout.spread(cost)
    reward[last] = end
    return np.maximum(value, -1.0), reward


def _episodes_that_fit(readings: list[_Reading], layout: EpisodeLayout) -> Bool[np.ndarray, " e"]:
    return np.any([~layout.any(reading.differs) for reading in readings], axis=0)


def _contradiction(
    convention: Convention,
    columns: LabelColumns,
    readings: list[_Reading],
    episode: int,
    episode_numbers: Shaped[np.ndarray, " e"],
) -> str:
    """The first frame that differs, under the reading that goes well for longer."""
    start, end = int(columns.layout.starts[episode]), int(columns.layout.ends[episode])
    first, reading = max(((int(np.argmax(r.differs[start:end])), r) for r in readings), key=lambda pair: pair[0])
    row = start + first
    wanted, got = [f"value_label {reading.value[row]:.6g}"], [f"{columns.value[row]:.6g}"]
    if reading.reward is not None:
        wanted.append(f"reward_label {reading.reward[row]:.6g}")
        got.append(f"{columns.rewards[row]:.6g}")
    return (
        f"episode {episode_numbers[episode]}, frame {first}: expected {' and '.join(wanted)} by the declared "
        f"convention '{convention.name}' (as a {reading.outcome}), got {' and '.join(got)}; declare another or none"
    )
