"""The monitor's numbers by hand, and its alarm frame by frame."""

import numpy as np
import pytest

from pistar_vf.errors import ConfigError
from pistar_vf.inference.predictor import Prediction, load_value_model
from pistar_vf.serving.monitor import Alarm, AlarmRule, ValueMonitor, success_probability


def test_uncertainty_by_hand():
    """Half of the mass at -1 and half at 0: a standard deviation of 0.5, and half of it in the last tenth."""
    atoms = np.array([-1.0, -0.5, -0.1, 0.0], np.float32)
    probs = np.array([[0.5, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]], np.float32)
    prediction = Prediction(value=(probs @ atoms).astype(np.float32), probs=probs, atoms=atoms)
    np.testing.assert_allclose(prediction.std, [0.5, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(success_probability(prediction), [0.5, 0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # A slow start is no fall, however low.
        ([-1.0, -0.9, -0.8, -0.7], [False, False, False, False]),
        # Down by 0.2 twice raises it, 0.15 below the best is between the thresholds, near it twice takes it back.
        ([-0.5, -0.7, -0.7, -0.65, -0.59, -0.59], [False, False, True, True, True, False]),
        # One bad frame is noise.
        ([-0.5, -0.9, -0.5, -0.9, -0.5], [False] * 5),
        # A new best moves what a fall is measured from.
        ([-0.5, -0.2, -0.42, -0.42], [False, False, False, True]),
    ],
)
def test_the_alarm_has_hysteresis(values, expected):
    alarm = Alarm(AlarmRule(drop=0.2, recovered=0.1, frames=2))
    assert [alarm.update(value) for value in np.float64(values) - 1e-9 * np.arange(len(values))] == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"drop": 0.1, "recovered": 0.1}, "expected 0 <= recovered < drop, got recovered=0.1, drop=0.1"),
        ({"frames": 0}, "expected frames >= 1, got 0"),
    ],
)
def test_a_rule_that_cannot_work(settings, message):
    with pytest.raises(ConfigError, match=message):
        AlarmRule(**settings)


def test_the_monitor_says_what_the_model_says(trained_run):
    model = load_value_model(trained_run.checkpoint)
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (48, 48, 3), np.uint8) for name in model.spec.camera_keys}
    state = np.zeros(model.spec.state.dim, np.float32)
    prompt = "put the red block into the left bin"
    monitor = ValueMonitor(model, prompt, AlarmRule(frames=1))
    reading = monitor.observe(images, state)
    direct = model.predict(images, state, prompt)
    assert reading.value == pytest.approx(float(direct.value[0]), abs=1e-6)
    assert 0.0 <= reading.success_probability <= 1.0
    assert not reading.alarm
    monitor.reset()
    assert monitor.observe(images, state) == reading
