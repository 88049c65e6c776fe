"""What the values of a running policy say, frame after frame.

V of a frame is uncertain and a single frame may mislead, so the alarm has hysteresis: it is raised when V has stayed
well below the best that it had reached for several frames, and taken back when it has stayed near it again.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from pistar_vf.errors import ConfigError
from pistar_vf.inference.predictor import Prediction, ValuePredictor
from pistar_vf.typing import Float


@dataclasses.dataclass(frozen=True)
class AlarmRule:
    """When a fall of V is an alarm.

    Attributes:
        drop: how far V must be below its best so far to raise the alarm, normalised return.
        recovered: how near to its best it must be to take the alarm back, normalised return.
        frames: for how many frames in a row, either way.
    """

    drop: float = 0.2
    recovered: float = 0.1
    frames: int = 5

    def __post_init__(self) -> None:
        if not 0.0 <= self.recovered < self.drop:
            raise ConfigError(
                f"alarm: expected 0 <= recovered < drop, got recovered={self.recovered}, drop={self.drop}; between the "
                "two the alarm stays as it is"
            )
        if self.frames < 1:
            raise ConfigError(f"alarm: expected frames >= 1, got {self.frames}")


class Alarm:
    """An alarm over one episode; `update` with the V of every frame."""

    def __init__(self, rule: AlarmRule):
        self._rule, self._best, self._streak, self.raised = rule, -np.inf, 0, False

    def update(self, value: float) -> bool:
        """Whether the alarm is on after this frame."""
        self._best = max(self._best, value)
        lost = self._best - value
        turns = lost <= self._rule.recovered if self.raised else lost >= self._rule.drop
        self._streak = self._streak + 1 if turns else 0
        if self._streak >= self._rule.frames:
            self.raised, self._streak = not self.raised, 0
        return self.raised


@dataclasses.dataclass(frozen=True)
class Reading:
    """What is known about one frame.

    Attributes:
        value: V, normalised return.
        std: standard deviation of the predicted distribution, normalised return.
        success_probability: probability of being within a tenth of the support's end, that is of being (nearly) done.
        alarm: whether V has fallen and stayed down, see `AlarmRule`.
    """

    value: float
    std: float
    success_probability: float
    alarm: bool


NEARLY_DONE = 0.1
"""Part of the support, counted from its end, whose mass is `Reading.success_probability`."""


def success_probability(prediction: Prediction) -> Float[np.ndarray, " b"]:
    """Masses of the predicted distributions on the last tenth of the support."""
    atoms = prediction.atoms.astype(np.float64)
    last = atoms >= atoms[-1] - NEARLY_DONE * (atoms[-1] - atoms[0]) - 1e-6
    return prediction.probs[:, last].sum(axis=1, dtype=np.float64)


class ValueMonitor:
    """A value model beside a running policy.

    Args:
        predictor: from `load_value_model`.
        prompt: the task.
        rule: of the alarm.

    Example:
        monitor = ValueMonitor(load_value_model("checkpoints/vials"), "pick up the vial")
        for frame, state in robot:
            if monitor.observe({"observation.images.front": frame}, state).alarm:
                robot.stop()
    """

    def __init__(self, predictor: ValuePredictor, prompt: str, rule: AlarmRule | None = None):
        self._predictor, self._prompt, self._rule = predictor, prompt, rule or AlarmRule()
        self.reset()

    def reset(self) -> None:
        """Begins a new episode."""
        self._alarm = Alarm(self._rule)

    def observe(self, images: np.ndarray | Mapping[str, np.ndarray | None], state: np.ndarray | None = None) -> Reading:
        """Looks at the next frame of the episode.

        Args:
            images: uint8 RGB [h, w, 3] by camera, see `ValuePredictor.predict`.
            state: raw robot state [s]; not needed by a model without state.

        Raises:
            ConfigError: a camera or the state is missing, or is of another size.
        """
        prediction = self._predictor.predict(images, state, self._prompt)
        value, done = float(prediction.value[0]), float(success_probability(prediction)[0])
        return Reading(value, float(prediction.std[0]), done, self._alarm.update(value))
