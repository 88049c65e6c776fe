"""What the gate judges by: frames in which the policy acted, of episodes that the scoring model has not seen."""

import dataclasses
import functools

import numpy as np

from pistar_vf.relabel import thresholds
from pistar_vf.relabel.clock import Clock
from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.label import Labels
from pistar_vf.relabel.labeller import Labeller
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class ImageProbe:
    """What exchanging the images of a sample of frames did to V.

    Attributes:
        mean_change: mean |V with another frame's images - V|.
        value_std: standard deviation of V over the sample.
        num_frames: size of the sample.
    """

    mean_change: float
    value_std: float
    num_frames: int


@dataclasses.dataclass(frozen=True)
class SecondLook:
    """V of some frames once more, by a model that has not seen them either.

    Attributes:
        value: of every frame; NaN where there is none.
        by: "another model" or "another view".
    """

    value: Float[np.ndarray, " t"]
    by: str


@dataclasses.dataclass(frozen=True)
class Scorers:
    """Which model scored which episode, and what it knew.

    Attributes:
        model: of every episode, a number; one model, or one per fold.
        seen: episodes that the model which scored them was trained on.
        probes: by model number, how its V depends on the images; a model that scored nothing has none.
    """

    model: Int[np.ndarray, " e"]
    seen: Bool[np.ndarray, " e"]
    probes: dict[int, ImageProbe]


@dataclasses.dataclass(frozen=True)
class Group:
    """Some of the judged episodes.

    Attributes:
        name: "" for all of them.
        episodes: which.
        alone: whether they are enough to be judged by themselves. Of a group that is not, figures must be right, too,
            but need not be more than chance could do.
    """

    name: str
    episodes: Bool[np.ndarray, " e"]
    alone: bool


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Everything that the criteria look at.

    Attributes:
        values: V of every frame.
        labels: what would be written.
        labeller: how they were made, and labels of other values would be.
        scorers: who made the values.
        clock: what the frame index alone predicts.
        second: V of some of the frames once more; None where there is none.
    """

    values: Float[np.ndarray, " t"]
    labels: Labels
    labeller: Labeller
    scorers: Scorers
    clock: Clock
    second: SecondLook | None = None

    @property
    def rollouts(self) -> Rollouts:
        """The frames."""
        return self.labeller.rollouts

    @property
    def rule(self) -> LabelRule:
        """The settings of the labels."""
        return self.labeller.rule

    @property
    def num_episodes(self) -> int:
        """Whole episodes in which the policy acted."""
        return int(self.acted.sum())

    @functools.cached_property
    def acted(self) -> Bool[np.ndarray, " e"]:
        """Whole episodes in which the policy acted at all; the others are demonstrations."""
        return np.bincount(self.rollouts.episode, weights=self.rollouts.counted) > 0

    @functools.cached_property
    def judged(self) -> Bool[np.ndarray, " e"]:
        """Unseen episodes that are known to have succeeded or failed, with frames of the policy."""
        known = self.rollouts.outcome_is(Outcome.SUCCESS) | self.rollouts.outcome_is(Outcome.FAILURE)
        return known & self.acted & ~self.scorers.seen

    @functools.cached_property
    def frames(self) -> Bool[np.ndarray, " t"]:
        """The policy's frames of judged episodes."""
        return self.judged[self.rollouts.episode] & self.rollouts.autonomous

    @property
    def success(self) -> Bool[np.ndarray, " e"]:
        """Judged successes."""
        return self.judged & self.rollouts.outcome_is(Outcome.SUCCESS)

    @property
    def failure(self) -> Bool[np.ndarray, " e"]:
        """Judged failures."""
        return self.judged & self.rollouts.outcome_is(Outcome.FAILURE)

    @functools.cached_property
    def task(self) -> Int[np.ndarray, " e"]:
        """Task of every episode, by its first frame."""
        return self.rollouts.task[self.rollouts.layout.starts]

    def parts(self) -> list[tuple[str, Bool[np.ndarray, " t"]]]:
        """All frames, those of each task where there are several, and those of each model."""
        task, model = self.rollouts.task, self.scorers.model[self.rollouts.episode]
        found = [("", np.ones(len(task), bool))]
        if len(self._tasks) > 1:
            found += [(f"'{self.rollouts.tasks[number]}'", task == number) for number in self._tasks]
        if len(np.unique(model)) > 1:
            found += [(f"fold {number}", model == number) for number in np.unique(model)]
        return found

    @functools.cached_property
    def groups(self) -> tuple[Group, ...]:
        """All judged episodes, those of each task where there are several, and those of each model."""
        found = [Group("", self.judged, True)]
        starts = self.rollouts.layout.starts
        for name, inside in self.parts()[1:]:
            group = self._group(name, inside[starts])
            found.append(dataclasses.replace(group, alone=group.alone and not name.startswith("fold ")))
        return tuple(found)

    @functools.cached_property
    def _tasks(self) -> Int[np.ndarray, " tasks"]:
        """Those in which the policy acted."""
        return np.unique(self.task[self.acted])

    def _group(self, name: str, inside: np.ndarray) -> Group:
        enough = (inside & self.success).sum() >= thresholds.MIN_SUCCESSES
        enough &= (inside & self.failure).sum() >= thresholds.MIN_FAILURES
        return Group(name, self.judged & inside, bool(enough))

    def of(self, episodes: Bool[np.ndarray, " e"]) -> Bool[np.ndarray, " t"]:
        """The judged frames of some episodes."""
        return self.frames & episodes[self.rollouts.episode]

    def means(self, figure: Float[np.ndarray, " t"], frames: Bool[np.ndarray, " t"]) -> Float[np.ndarray, " k"]:
        """Mean of a figure over each episode's chosen frames, for the episodes that have any."""
        episode = self.rollouts.episode[frames]
        counts = np.bincount(episode)
        return np.bincount(episode, weights=figure[frames])[counts > 0] / counts[counts > 0]
