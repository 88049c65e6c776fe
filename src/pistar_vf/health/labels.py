"""Labels, outcomes and interventions: what they say, and whether they agree."""

import collections
import dataclasses

import numpy as np

from pistar_vf.errors import LabelError
from pistar_vf.health.findings import Findings, Place
from pistar_vf.health.rollouts import OUTCOME_KEY
from pistar_vf.health.tables import Columns
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.targets import IN_FRAMES
from pistar_vf.labels.value_labels import OLD_VALUE_COLUMN, REWARD_COLUMN, VALUE_COLUMN
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.frame_numbers import INTERVENTION_COLUMN, frame_numbers, is_number_per_frame
from pistar_vf.returns import OPEN_ENDED, Outcome
from pistar_vf.returns.outcome import LABEL_TOLERANCE
from pistar_vf.returns.recognise import LabelColumns, fitting_conventions, shown_failures

_RELABEL = "label the dataset again with `pistar-vf label`"


@dataclasses.dataclass(frozen=True)
class LabelSummary:
    """What the labels of a dataset say.

    Attributes:
        value_column: where the value labels are, None where there are none.
        conventions: all that fit; none where labels are missing or unknown.
        outcomes_of_labels: outcome to number of episodes, where the convention tells them apart; a value label that
            is NaN everywhere is a time-out, unless the metadata calls it a fragment.
        outcomes_of_metadata: outcome to number of episodes, by the key `outcome` of the metadata.
        intervention_frames: frames in which the operator was driving, None without such a column.
        intervention_episodes: episodes with such frames.
        demonstrations: episodes of nothing else.
    """

    value_column: str | None
    conventions: tuple[str, ...]
    outcomes_of_labels: dict[str, int]
    outcomes_of_metadata: dict[str, int]
    intervention_frames: int | None
    intervention_episodes: int
    demonstrations: int


class LabelCheck:
    """Gathers the labels of one episode after the other; 8 bytes a frame are kept until the end.

    Args:
        dataset: whose episodes they are.
        findings: gets what is wrong.
    """

    def __init__(self, dataset: LeRobotDataset, findings: Findings):
        self._findings = findings
        self._value = next((name for name in (VALUE_COLUMN, OLD_VALUE_COLUMN) if name in dataset.columns), None)
        self._has_rewards = REWARD_COLUMN in dataset.columns
        self._outcomes = _outcomes_of_metadata(dataset, findings)
        self._labels: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        self._tasks: dict[int, int] = {}
        self._empty: dict[int, Outcome] = {}
        self._below: list[tuple[np.ndarray, Place]] = []
        """Labels that are wrong unless they count frames, and where they are."""
        self._driven: dict[int, float] | None = {} if INTERVENTION_COLUMN in dataset.columns else None
        self._intervention_frames = 0

    def add(self, episode: Episode, columns: Columns) -> None:
        """Checks one episode."""
        if self._value is not None and self._value in columns:
            self._add_labels(episode, columns, self._value)
        if INTERVENTION_COLUMN in columns:
            self._add_interventions(episode, columns[INTERVENTION_COLUMN])

    def finish(self) -> LabelSummary:
        """Recognises the convention and compares the labels with the outcomes."""
        names = self._recognise()
        shown = self._outcomes_of_labels(names)
        for index, outcome in shown.items():
            said = self._outcomes.get(index, outcome)
            if not OPEN_ENDED & {said, outcome} and said is not outcome:
                problem = f"expected the labels of a {said} (key '{OUTCOME_KEY}'), got those of a {outcome}"
                self._findings.error("outcomes agree", problem, _RELABEL, episode=index, key=self._value)
        driven = list((self._driven or {}).values())
        return LabelSummary(
            value_column=self._value,
            conventions=names,
            outcomes_of_labels=_counted(shown),
            outcomes_of_metadata=_counted(self._outcomes),
            intervention_frames=None if self._driven is None else self._intervention_frames,
            intervention_episodes=sum(share > 0 for share in driven),
            demonstrations=sum(share == 1 for share in driven),
        )

    def _add_labels(self, episode: Episode, columns: Columns, name: str) -> None:
        place: Place = {"file": episode.parquet, "episode": episode.index, "key": name}
        values, rewards = columns[name], columns.get(REWARD_COLUMN)
        for numbers in (values, rewards):
            if numbers is not None and (not is_number_per_frame(numbers)):
                problem = f"expected one number per frame, got {numbers.dtype} of shape {numbers.shape}"
                self._findings.error("value labels", problem, _RELABEL, **place)
                return
        values = frame_numbers(values, str(episode.parquet))
        missing = np.isnan(values)
        said = self._outcomes.get(episode.index, Outcome.TIMEOUT)
        if missing.all() and said in OPEN_ENDED:
            self._empty[episode.index] = said
            if not self._outcomes:
                advice = (
                    "if it timed out or is a fragment, say so with --outcome_column, --outcome_file or --source when "
                    "training"
                )
                self._findings.warning("value labels", "expected labels, got NaN in all frames", advice, **place)
            return
        bad = ~np.isfinite(values) | (values > LABEL_TOLERANCE)
        if bad.any():
            self._refuse(values, bad, place)
        elif (values < -1 - LABEL_TOLERANCE).any():
            self._below.append((values, place))
        rewards = None if rewards is None else frame_numbers(rewards, str(episode.parquet))
        self._labels[episode.index] = (values, rewards)
        self._check_rewards(rewards, episode, place)
        tasks = columns.get("task_index", np.zeros(1))  # what is no number is reported with the prompts
        self._tasks[episode.index] = int(np.nan_to_num(tasks[0])) if is_number_per_frame(tasks) else 0

    def _check_rewards(self, rewards: np.ndarray | None, episode: Episode, place: Place) -> None:
        """Of time-outs and fragments, they may be missing."""
        if rewards is None or np.isfinite(rewards).all() or self._outcomes.get(episode.index) in OPEN_ENDED:
            return
        bad = ~np.isfinite(rewards)
        frame = int(np.argmax(bad))
        problem = f"expected a finite reward label, got {rewards[frame]:g} ({int(bad.sum())} frames of the episode)"
        self._findings.error("reward labels", problem, _RELABEL, **place | {"key": REWARD_COLUMN, "frame": frame})

    def _refuse(self, values: np.ndarray, bad: np.ndarray, place: Place) -> None:
        frame = int(np.argmax(bad))
        problem = f"expected a value in [-1, 0], got {values[frame]:g} ({int(bad.sum())} frames of the episode)"
        self._findings.error("value labels", problem, _RELABEL, frame=frame, **place)

    def _add_interventions(self, episode: Episode, flags: np.ndarray) -> None:
        if not is_number_per_frame(flags) or not np.isin(flags, (0, 1)).all():
            return  # reported with the tables
        assert self._driven is not None
        self._driven[episode.index] = float(flags.mean())
        self._intervention_frames += int(flags.sum())

    def _recognise(self) -> tuple[str, ...]:
        if not self._labels:
            return ()
        names = fitting_conventions(self._columns())
        if names == (IN_FRAMES,):
            self._note_frames()
            return names
        for values, place in self._below:
            self._refuse(values, values < -1 - LABEL_TOLERANCE, place)
        if not names:
            problem = "the labels follow none of the known conventions"
            refused = any(item.severity == "error" and item.check == "value labels" for item in self._findings.items)
            advice = "they cannot be trained on" if refused else "they can be trained on, but not converted"
            advice += "; see 'Conventions' in the documentation of the data"
            self._findings.warning("convention", problem, advice, key=self._value)
        return names

    def _note_frames(self) -> None:
        last = np.unique([values[-1] for values, _ in self._labels.values()])
        numbers = ", ".join(f"{number:g}" for number in last if number < 0)
        problem = f"the value labels count frames to the end; failures are {numbers or 'not among them'}"
        advice = "training divides them by the longest episode of the task, or of each (--target episode_ramp)"
        self._findings.note("convention", problem, advice, key=self._value)

    def _columns(self) -> LabelColumns:
        values, rewards = zip(*self._labels.values())
        complete = self._has_rewards and all(reward is not None for reward in rewards)
        return LabelColumns(
            value=np.concatenate(values),
            reward=np.concatenate(rewards) if complete else None,
            lengths=np.array([len(value) for value in values], np.int64),
            tasks=np.array(list(self._tasks.values()), np.int64),
        )

    def _outcomes_of_labels(self, names: tuple[str, ...]) -> dict[int, Outcome]:
        failed = shown_failures(self._columns(), names) if names else None
        if failed is None:
            return {}
        shown = self._empty | {i: Outcome.FAILURE if lost else Outcome.SUCCESS for i, lost in zip(self._labels, failed)}
        ended = set(shown.values()) - OPEN_ENDED
        if len(ended) == 1:
            (only,) = ended
            advice = "a value function needs both; training on demonstrations alone learns how much time has passed"
            self._findings.note("outcomes", f"every episode is labelled a {only}", advice, key=self._value)
        return shown


def _outcomes_of_metadata(dataset: LeRobotDataset, findings: Findings) -> dict[int, Outcome]:
    if not any(OUTCOME_KEY in episode.metadata for episode in dataset.episodes):
        return {}
    try:
        return read_outcomes(dataset, outcome_column=OUTCOME_KEY)
    except LabelError as error:
        findings.warning("outcomes", str(error), "complete the outcomes, or give them in a file", key=OUTCOME_KEY)
        return {}


def _counted(outcomes: dict[int, Outcome]) -> dict[str, int]:
    return {str(outcome): count for outcome, count in sorted(collections.Counter(outcomes.values()).items())}
