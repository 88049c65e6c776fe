"""The conventions in which public datasets fill `value_label` and `reward_label`, as data.

Every convention except `srpo_progress` counts steps: of T frames, frame t of a success has T-1-t (or T-t) steps to go.
They differ in what they divide by, and in what the last `reward_label` of a failure says. That last number decides
what may follow the end of an episode in an n-step advantage, see `terminal_bootstrap`.

References:
    Physical Intelligence, "π*0.6", arXiv 2511.14759, section V-C (reward, normalisation by task).
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.returns.outcome import OPEN_ENDED, Outcome, as_outcome
from pistar_vf.typing import Bool, Float, Int

Bootstrap = Literal["zero", "last_value"]


@dataclasses.dataclass(frozen=True)
class Convention:
    """One rule for the two label columns.

    Attributes:
        name: what flags, specs and messages call it.
        producer: the program whose datasets follow it.
        value: `value_label` of a success, for people.
        form: "episode" divides the steps to go by the episode's own length, "task" by the longest episode of the task,
            "frames" by nothing; "progress" is a measured progress minus one.
        steps_at_end: steps to go that the formula gives the last frame: 0 for T-1-t, 1 for T-t.
        zero_at_end: the last value of a success is set to 0 afterwards.
        has_failures: failures are labelled as such.
        has_rewards: the producer writes `reward_label` too.
        past_failure: what a failure is worth past its last frame, None without failures: "zero" where the last
            reward carries the penalty, "last_value" where it does not.
    """

    name: str
    producer: str
    value: str
    form: Literal["episode", "task", "frames", "progress"] = "episode"
    steps_at_end: int = 0
    zero_at_end: bool = False
    has_failures: bool = True
    has_rewards: bool = True
    past_failure: Bootstrap | None = "zero"


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("recap", "RECAP's conversion tool; LIBERO demonstrations", "-(T-1-t)/T", past_failure="last_value"),
        Convention("libero_rollout", "pistar-world's LIBERO rollouts", "-(T-1-t)/T"),
        Convention(
            "robot_collector", "pistar-world's robot collector", "-(T-t)/T, then 0", steps_at_end=1, zero_at_end=True
        ),
        Convention(
            "add_value_labels",
            "pistar-world's add_value_labels.py",
            "-(T-t)/T, in failures too",
            steps_at_end=1,
            has_failures=False,
            has_rewards=False,
            past_failure=None,
        ),
        Convention("srpo_progress", "SRPO's progress labels", "progress - 1, in failures too", form="progress"),
        Convention("paper", "the π*0.6 paper; `pistar-vf label --target paper`", "-(T-1-t)/L of the task", form="task"),
        Convention(
            "nttg",
            "negative time-to-go before it is normalised",
            "-(T-1-t) in frames, one low number in failures",
            form="frames",
            has_rewards=False,
        ),
    )
}
WRITABLE = ("recap", "libero_rollout", "robot_collector")
"""Conventions that an outcome alone decides; the paper's needs a `Normaliser`."""


def find_convention(name: str) -> Convention:
    """The convention called `name`.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    if name not in CONVENTIONS:
        raise ConfigError(f"label convention: expected one of {', '.join(CONVENTIONS)}, got {name!r}")
    return CONVENTIONS[name]


def in_words(names: Sequence[str]) -> str:
    """Conventions for a message: several mean that the data cannot tell, or comes from several datasets; none fits."""
    return " or ".join(names) or "unknown"


def terminal_bootstrap(convention: Convention, outcome: Outcome | str) -> Bootstrap:
    """What stands for the value past the end of an episode when rewards of this convention are summed.

    "zero": nothing comes after the last frame. "last_value": V of the last frame. A failure whose last reward is 0
    needs "last_value", else its last N frames look good; one whose last reward carries the penalty needs "zero", else
    the penalty counts twice.

    Raises:
        LabelError: the convention has no failures, but the episode is one; or there is no such outcome.
    """
    outcome = as_outcome(outcome)
    if outcome in OPEN_ENDED:
        return "last_value"
    if outcome is Outcome.SUCCESS:
        return "zero"
    if convention.past_failure is None:
        raise LabelError(
            f"expected a convention that labels failures, got '{convention.name}' ({convention.producer}), which "
            "labels every episode as a success; label the dataset again with `pistar-vf label`"
        )
    return convention.past_failure


def step_labels(
    convention: Convention, lengths: Int[np.ndarray, " e"], failed: Bool[np.ndarray, " e"]
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """`value_label` and `reward_label` of a convention of the form "episode".

    Args:
        convention: of that form.
        lengths: frames of each episode, at least 1.
        failed: which episodes are failures.

    Returns:
        float32, both in [-1, 0].
    """
    layout = EpisodeLayout(lengths)
    left, length, lost = layout.steps_left(), layout.spread(lengths), layout.spread(failed)
    value = -(left + convention.steps_at_end) / length
    reward = -1.0 / length
    last = left == 0
    if convention.zero_at_end:
        value[last] = 0.0
    value[lost] = -1.0
    reward[last] = 0.0
    reward[last & lost] = 0.0 if convention.past_failure == "last_value" else -1.0
    return value.astype(np.float32), reward.astype(np.float32)
