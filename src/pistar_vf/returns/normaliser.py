"""From steps to the numbers a value model is trained on; what decides them travels in the checkpoint.

Every step costs the same, a success ends at 0, a failure at minus its penalty, and a time-out at what the model itself
expects of its last frame. The value of a frame is the value of the end minus the cost of the steps until then, clipped
to [-1, 0]. Of a fragment nobody knows the end, nor, by the episode's own length, what a step costs.

References:
    Physical Intelligence, "π*0.6", arXiv 2511.14759, section V-C, equation 5.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.returns.outcome import Outcome, as_outcome
from pistar_vf.typing import Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class Normaliser:
    """A target rule and the numbers it was measured with; the same object scales any later dataset.

    Attributes:
        rule: "paper" divides by the longest episode of the task, "episode_ramp" by the episode's own length.
        max_lengths: frames of the longest episode by task; empty for "episode_ramp".
        failure_penalty: the paper's C_fail in steps. None is one step for every frame of the task's longest episode,
            the smallest penalty that puts all frames of all its failures at -1.
    """

    rule: Literal["episode_ramp", "paper"]
    max_lengths: dict[str, int] = dataclasses.field(default_factory=dict)
    failure_penalty: float | None = None

    def __post_init__(self) -> None:
        penalty = self.failure_penalty
        if penalty is not None and self.rule != "paper":
            raise ConfigError(
                f"failure_penalty {penalty}: expected it with --target paper, got it with {self.rule}, whose failures "
                "are -1 everywhere; leave it out, or pass --target paper"
            )
        if penalty is not None and not 0 < penalty < float("inf"):
            raise ConfigError(f"failure_penalty: expected a number of steps above 0, got {penalty}")

    @classmethod
    def measure(
        cls,
        rule: Literal["episode_ramp", "paper"],
        lengths: Int[np.ndarray, " e"],
        tasks: Sequence[str],
        failure_penalty: float | None = None,
    ) -> "Normaliser":
        """The normaliser of a dataset.

        Args:
            rule: see the class.
            lengths: frames of each episode.
            tasks: the prompt of each episode.
            failure_penalty: see the class.
        """
        if rule == "episode_ramp":
            return cls(rule, failure_penalty=failure_penalty)
        names, number = np.unique(np.array(tasks), return_inverse=True)
        longest = np.zeros(len(names), np.int64)
        np.maximum.at(longest, number, lengths)
        return cls(rule, dict(zip(names.tolist(), longest.tolist())), failure_penalty)

    def targets(
        self,
        lengths: Int[np.ndarray, " e"],
        tasks: Sequence[str],
        outcomes: Sequence[Outcome | str],
        end_values: Float[np.ndarray, " e"] | None = None,
    ) -> Float[np.ndarray, " t"]:
        """The training target of every frame of some episodes.

        Args:
            lengths: frames of each episode, at least 1.
            tasks: the prompt of each episode.
            outcomes: how each ended, an `Outcome` or its word.
            end_values: V of each episode's last frame, in [-1, 0]; only those of time-outs are looked at.

        Returns:
            float32 in [-1, 0]; NaN in fragments, and in time-outs where `end_values` is None.

        Raises:
            LabelError: a task or an outcome is unknown.
        """
        cost, end = self._costs_and_ends(lengths, tasks, outcomes, end_values)
        layout = EpisodeLayout(lengths)
        values = layout.spread(end) - layout.steps_left() * layout.spread(cost)
        return np.clip(values, -1.0, 0.0).astype(np.float32)

    # The arguments of `targets`, written out again: two public methods that are called alone.
    def rewards(
        self,
        lengths: Int[np.ndarray, " e"],
        tasks: Sequence[str],
        outcomes: Sequence[Outcome | str],
        end_values: Float[np.ndarray, " e"] | None = None,
    ) -> Float[np.ndarray, " t"]:
        """The reward of every frame in the units of `targets`; same arguments.

        The last reward of a failure carries its penalty, so past the end of a success or a failure the value is zero;
        past the end of a time-out or a fragment it is V of its last frame, and the last reward is 0. Rewards of a
        fragment are NaN by "episode_ramp".

        Raises:
            LabelError: a task or an outcome is unknown.
        """
        cost, end = self._costs_and_ends(lengths, tasks, outcomes, end_values)
        layout = EpisodeLayout(lengths)
        rewards = -layout.spread(cost)
        rewards[layout.last_frames] = np.where(_are(outcomes, Outcome.FAILURE), end, 0.0)
        return rewards.astype(np.float32)

    def _costs_and_ends(
        self,
        lengths: np.ndarray,
        tasks: Sequence[str],
        outcomes: Sequence[Outcome | str],
        end_values: np.ndarray | None,
    ) -> tuple[Float[np.ndarray, " e"], Float[np.ndarray, " e"]]:
        """What one step costs in each episode, and the value of its last frame."""
        failed, timed_out = _are(outcomes, Outcome.FAILURE), _are(outcomes, Outcome.TIMEOUT)
        pieces = _are(outcomes, Outcome.FRAGMENT)
        open_end = np.full(len(lengths), np.nan) if end_values is None else end_values.astype(np.float64)
        if self.rule == "episode_ramp":
            # Of a time-out only the share 1 + V of the whole episode is behind: the whole has T / (1 + V) frames.
            cost = np.where(pieces, np.nan, np.where(timed_out, 1.0 + open_end, 1.0)) / lengths
            penalty = np.ones(len(lengths))
        else:
            longest = self._longest(tasks, pieces)
            cost = 1.0 / longest
            penalty = np.ones(len(lengths)) if self.failure_penalty is None else self.failure_penalty / longest
        end = np.where(failed, -penalty, 0.0)
        return cost, np.where(pieces, np.nan, np.where(timed_out, open_end, end))

    def _longest(self, tasks: Sequence[str], pieces: Bool[np.ndarray, " e"]) -> Float[np.ndarray, " e"]:
        """Of each episode's task; NaN for fragments of a task that nobody has seen whole."""
        whole = {task for task, piece in zip(tasks, pieces, strict=True) if not piece}
        unknown = sorted(whole - set(self.max_lengths))
        if unknown:
            raise LabelError(
                f"expected tasks whose maximum length is known ({_quoted(sorted(self.max_lengths))}), got "
                f"{_quoted(unknown)}; their values have no unit. Train on these tasks too, or train with "
                "--target episode_ramp, whose unit is the episode's own length"
            )
        return np.array([self.max_lengths.get(task, np.nan) for task in tasks], np.float64)


def _are(outcomes: Sequence[Outcome | str], wanted: Outcome) -> np.ndarray:
    return np.array([as_outcome(outcome) is wanted for outcome in outcomes], bool)


def _quoted(tasks: Sequence[str], show: int = 5) -> str:
    more = f" and {len(tasks) - show} more" if len(tasks) > show else ""
    return ", ".join(f"'{task}'" for task in tasks[:show]) + more
