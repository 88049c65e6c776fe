"""What happens between two steps: numbers are logged, the model is validated, states are kept."""

import time
from collections.abc import Callable

import jax
import numpy as np

from pistar_vf.training.copies import Copies
from pistar_vf.training.loop import StepResult, check_finite
from pistar_vf.training.plan import Every, Plan
from pistar_vf.training.records import Recorder, peak_memory_gib
from pistar_vf.training.state import TrainState
from pistar_vf.typing import Params


class Watch:
    """Looks at every step.

    Args:
        plan: what is due when.
        frozen: parameters that are not trained.
        copies: keeps and saves states.
        recorder: takes the numbers.
        say: shows a line to a person.
        clock: seconds, from any zero.
    """

    def __init__(
        self,
        plan: Plan,
        frozen: Params,
        copies: Copies,
        recorder: Recorder,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._plan, self._frozen, self._copies, self._recorder = plan, frozen, copies, recorder
        self._say, self._clock = say, clock
        self._scalars: list[dict[str, jax.Array]] = []
        self._wait_seconds = 0.0
        self._window_start = clock()

    def begin(self, state: TrainState) -> None:
        """Before the first step; the clock of the first log line starts now."""
        if self._plan.validate_first and int(state.step) == 0:
            self._validate(state, 0)
        self._window_start = self._clock()

    def after_step(self, result: StepResult) -> None:
        """Everything that is due, in this order.

        Numbers before the validation, so that they are of training alone; the validation before a save, so that a new
        best state is saved with it; what a recipe adds before the save, so that a checkpoint knows of it.

        Raises:
            CheckpointError: a background save failed.
            NonFiniteLossError: the state that is due to be saved is not worth it.
        """
        plan, intervals = self._plan, self._plan.intervals
        last = result.step == intervals.num_train_steps
        self._copies.check()
        self._scalars.append(result.scalars)
        self._wait_seconds += result.wait_seconds
        if last or _is_due(result.step, intervals.log):
            self._log_training(result.step)
        if last or _is_due(result.step, intervals.validate):
            self._validate(result.state, result.step)
        for other in plan.every:
            if _is_due(result.step, other.steps):
                self._look(other, result)
        if last or _is_due(result.step, intervals.save):
            self.save(result)

    def save(self, result: StepResult) -> None:
        """Saves a state whose loss was looked at: the loop does so one step later, a checkpoint cannot wait."""
        check_finite(result, self._plan.name_rows)
        self._copies.save(result.state)

    def _log_training(self, step: int) -> None:
        host = jax.device_get(self._scalars)
        seconds = self._clock() - self._window_start
        values = {name: float(np.mean([scalars[name] for scalars in host])) for name in host[0]}
        # Of the last step, as a schedule has no meaningful average.
        values["learning_rate"] = float(host[-1]["learning_rate"])
        values[f"{self._plan.unit}_per_second"] = len(host) * self._plan.batch_size / seconds
        values["data_wait_share"] = self._wait_seconds / seconds
        values["peak_memory_gib"] = peak_memory_gib()
        self._recorder.write(step, "train", values)
        self._say(f"Step {step}: {_listed(values)}")
        self._scalars, self._wait_seconds, self._window_start = [], 0.0, self._clock()

    def _validate(self, state: TrainState, step: int) -> None:
        if self._plan.validate is None:
            return
        started, intervals = self._clock(), self._plan.intervals
        found = self._plan.validate(state.ema, self._frozen)
        self._recorder.write(step, "val", found.values)
        self._say(f"Step {step}: validation {_listed(found.values)}")
        if step >= min(intervals.warmup, intervals.num_train_steps):
            for warning in found.warnings:
                self._say(f"WARNING: {warning}")
        if step > 0:
            self._copies.offer(state, found.values[self._plan.chosen_by])
        self._not_training_since(started)

    def _look(self, other: Every, result: StepResult) -> None:
        started = self._clock()
        self._recorder.write(result.step, other.split, other.look(result.state.ema, self._frozen))
        self._not_training_since(started)

    def _not_training_since(self, started: float) -> None:
        """What is not training must not show as a slow step."""
        self._window_start += self._clock() - started


def _is_due(step: int, interval: int) -> bool:
    return interval > 0 and step % interval == 0


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in values.items())


def _short(value: float) -> str:
    return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4g}"
