"""Judges that are no model of pictures: how good has V to be before its labels help a policy?

Each is put in V's place and labels by the library's own rule. Those on the simulator's state see what a model of
pictures would have to see; those on progress know what no one does, and are made worse by noise.
"""

from collections.abc import Callable

import numpy as np
from scipy.signal import lfilter
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression

from pistar_vf.recipes.lambda_returns import Ends
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns import Normaliser
from pistar_vf.typing import Float
from simulated.labels import Units, outcomes_of, rollouts_of
from simulated.state_trees import robot_state, simulator_state
from simulated.truth import Truth

FOLDS, LAMBDA, PASSES = 5, 0.9, 3
NOISE = (0.1, 0.2, 0.3)
"""RMS of what is added to progress."""
_MEMORY = 0.95
"""Of the noise, from one frame to the next: V errs for a second at a time."""


def boosted_trees() -> HistGradientBoostingRegressor:
    """What the library compares V with, on the robot's state."""
    return HistGradientBoostingRegressor(max_iter=150, learning_rate=0.06, min_samples_leaf=40, random_state=0)


def smooth_trees() -> ExtraTreesRegressor:
    """A hundred random trees with large leaves: their mean changes slowly from state to state."""
    return ExtraTreesRegressor(100, min_samples_leaf=50, max_features=0.5, random_state=0, n_jobs=1)


def paper_units(truth: Truth) -> tuple[Normaliser, Units]:
    """What `label --target paper` makes of the episodes: the normaliser, rewards and targets."""
    tasks, outcomes = truth.tasks[truth.task].tolist(), outcomes_of(truth)
    normaliser = Normaliser.measure("paper", truth.lengths, tasks)
    about = (truth.lengths, tasks, outcomes)
    return normaliser, Units(normaliser.rewards(*about), normaliser.targets(*about))


Judge = Callable[[Truth, Rollouts, Normaliser], Float[np.ndarray, " t"]]


def on_the_simulators_state(make: Callable, passes: int = 0, state: Callable = simulator_state) -> Judge:
    """Trees on the simulator's state, each episode judged by those that have not seen it.

    Args:
        make: the trees.
        state: of a truth, what they see: the simulator's, or less of it.
        passes: how often they are fitted anew to the λ-returns of the values before; 0 for what episodes came to.
    """

    def judge(truth: Truth, rollouts: Rollouts, normaliser: Normaliser) -> np.ndarray:
        seen, found = state(truth), np.zeros(len(truth.progress))
        fold = np.random.default_rng(0).permutation(len(truth.lengths)) % FOLDS
        ends = Ends(tuple(truth.tasks[truth.task].tolist()), rollouts.outcomes, normaliser)
        for number in range(FOLDS):
            own = truth.layout.spread(fold == number)
            target = rollouts.target.astype(np.float64)
            for _ in range(passes):
                value = make().fit(seen[~own], target[~own]).predict(seen)
                target = ends.returns(value, truth.lengths, LAMBDA)
            found[own] = make().fit(seen[~own], target[~own]).predict(seen[own])
        return found

    return judge


def of_progress(noise: float) -> Judge:
    """True progress, less 1, with noise that lasts as long as a model's errors do."""

    def judge(truth: Truth, rollouts: Rollouts, normaliser: Normaliser) -> np.ndarray:
        rng, parts = np.random.default_rng(0), []
        for length in truth.lengths:
            drawn = rng.normal(0, noise * np.sqrt(1 - _MEMORY**2), length)
            drawn[0] = rng.normal(0, noise)
            parts.append(lfilter([1.0], [1.0, -_MEMORY], drawn))
        return truth.progress - 1 + np.concatenate(parts)

    return judge


JUDGES: dict[str, Judge] = {
    "boosted trees on the simulator's state": on_the_simulators_state(boosted_trees),
    "smooth trees on the simulator's state": on_the_simulators_state(smooth_trees),
    "smooth trees on the simulator's state, TD": on_the_simulators_state(smooth_trees, PASSES),
    "progress": of_progress(0.0),
    **{f"progress, noise of {noise}": of_progress(noise) for noise in NOISE},
}


def robots_state_trees(truth: Truth) -> Float[np.ndarray, " t"]:
    """What the library compares V with, out of fold."""
    normaliser, units = paper_units(truth)
    return on_the_simulators_state(boosted_trees, state=robot_state)(truth, rollouts_of(truth, units), normaliser)


def error_to_progress(value: Float[np.ndarray, " t"], truth: Truth, task: int) -> float:
    """RMS distance of V from the best rising function of true progress, over one task's frames.

    The distance from the target says little: most of it is what an episode's end has of chance.
    """
    own = truth.task_of_frames == task
    progress, seen = truth.progress[own], value[own]
    return float(np.sqrt(np.mean((seen - IsotonicRegression().fit(progress, seen).predict(progress)) ** 2)))
