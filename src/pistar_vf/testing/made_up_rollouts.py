"""Made-up rollouts on which value functions that are formulas are shown to the gate.

No pictures and no network: an episode is its length, its outcome and the target of every frame, and a value function
is a formula. Successes differ in speed, so that time alone does not tell the target; failures last as long, or run
into a time limit.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.evidence import ImageProbe, Scorers, SecondLook
from pistar_vf.relabel.gate import examine
from pistar_vf.relabel.horizons import default_lookahead
from pistar_vf.relabel.labeller import Labeller
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.relabel.verdict import Gate
from pistar_vf.returns import Outcome
from pistar_vf.typing import Bool, Float, Int

_SIGHTED, _BLIND = ImageProbe(0.2, 0.3, 256), ImageProbe(0.001, 0.3, 256)
_TREMBLE = 0.01
"""Standard deviation of what another view of a frame changes in V of a model that is not noise."""
MEAN_LENGTH, _SPREAD, TIME_LIMIT = 100, 0.3, 140


@dataclasses.dataclass(frozen=True)
class Scene:
    """Some rollouts and what their value functions are made of.

    Attributes:
        rng: of everything that is drawn.
        success: which episodes succeed.
        length: frames of each.
        target: of each episode, [frames] each.
        task: of each episode.
        fold: which model scores it.
        demonstration: which are an operator's.
    """

    rng: np.random.Generator
    success: Bool[np.ndarray, " e"]
    length: Int[np.ndarray, " e"]
    target: tuple[Float[np.ndarray, " _"], ...]
    task: Int[np.ndarray, " e"]
    fold: Int[np.ndarray, " e"]
    demonstration: Bool[np.ndarray, " e"]

    @property
    def lengths(self) -> list[int]:
        """As Python has them."""
        return self.length.tolist()


Values = tuple[Float[np.ndarray, " _"], ...]


@dataclasses.dataclass(frozen=True)
class Animal:
    """A value function and the rollouts that it is shown on.

    Attributes:
        name: for the table.
        honest: True for one that should pass, False for one that must not; None for one that is shown only.
        values: V of every episode of a scene.
        sees: whether it changes with the pictures.
        seen: whether it was trained on the episodes.
        num_tasks: of the rollouts.
        num_folds: models that score them.
        demonstrations: share of the episodes that an operator drove.
        time_limit: whether failures run into one.
        lookahead: N; None for the default.
        repeats: whether a second look at the same frames gives (nearly) the same values, or draws them anew.
    """

    name: str
    honest: bool | None
    values: Callable[[Scene], Values]
    sees: bool = True
    seen: bool = False
    num_tasks: int = 1
    num_folds: int = 1
    demonstrations: float = 0.0
    time_limit: bool = False
    lookahead: int | None = None
    repeats: bool = True


def show(animal: Animal, num_episodes: int, success_rate: float, rng: np.random.Generator) -> Gate:
    """Draws rollouts and values, labels them, and asks the gate."""
    scene = draw_scene(animal, num_episodes, success_rate, rng)
    rollouts = _rollouts(scene)
    values = _as_a_model(animal.values(scene))
    again = [values + _TREMBLE * rng.normal(size=len(values))] if animal.repeats else animal.values(scene)
    second = SecondLook(_as_a_model(again), "another view")
    labeller = Labeller(rollouts, LabelRule(lookahead=animal.lookahead or default_lookahead(rollouts)))
    probe = _SIGHTED if animal.sees else _BLIND
    scorers = Scorers(
        scene.fold, np.full(num_episodes, animal.seen), {int(fold): probe for fold in np.unique(scene.fold)}
    )
    return examine(values, labeller.label(values), labeller, scorers, second)


def _as_a_model(values: Sequence[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " t"]:
    return np.clip(np.concatenate(values), -1.0, 0.0).astype(np.float32)


def draw_scene(animal: Animal, num_episodes: int, success_rate: float, rng: np.random.Generator) -> Scene:
    """Rollouts of the kind that an animal is shown on; one success and one failure at least."""
    num_successes = int(np.clip(round(success_rate * num_episodes), 1, num_episodes - 1))
    order = rng.permutation(num_episodes)
    success = np.zeros(num_episodes, bool)
    success[order[:num_successes]] = True
    length = np.round(MEAN_LENGTH * rng.uniform(1 - _SPREAD, 1 + _SPREAD, num_episodes)).astype(int)
    if animal.time_limit:
        length = np.where(success, length, TIME_LIMIT)
    turn = np.empty(num_episodes, int)
    turn[order] = np.arange(num_episodes)  # successes first, then failures: tasks and folds get a share of both
    demonstration = success & (turn < animal.demonstrations * num_successes)
    target = tuple(ramp(frames) if won else np.full(frames, -1.0) for frames, won in zip(length.tolist(), success))
    fold = turn // animal.num_tasks % animal.num_folds
    return Scene(rng, success, length, target, turn % animal.num_tasks, fold, demonstration)


def ramp(frames: int) -> Float[np.ndarray, " t"]:
    """The target of a success."""
    return -np.arange(frames)[::-1] / frames


def _rollouts(scene: Scene) -> Rollouts:
    reward = np.repeat(-1.0 / scene.length, scene.length)
    reward[np.cumsum(scene.length) - 1] = np.where(scene.success, 0.0, -1.0)
    return Rollouts(
        name="zoo",
        lengths=scene.length,
        outcomes=tuple(Outcome.SUCCESS if won else Outcome.FAILURE for won in scene.success),
        tasks=tuple(f"task {number}" for number in range(int(scene.task.max()) + 1)),
        task=np.repeat(scene.task, scene.length),
        intervention=np.repeat(scene.demonstration, scene.length),
        still=np.zeros(scene.length.sum(), bool),
        reward=reward.astype(np.float32),
        target=np.concatenate(scene.target).astype(np.float32),
        keeps_last_value=np.zeros(len(scene.length), bool),
    )
