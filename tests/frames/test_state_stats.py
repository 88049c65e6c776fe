"""Normalisation of the state: hand-computed numbers, constants, clipping, refusals."""

import numpy as np
import pytest

from pistar_vf.errors import DatasetError
from pistar_vf.frames.state_stats import StateStatistics

STATE = np.array([[1.0, 5.0, 100.0], [3.0, 5.0, 100.01], [5.0, 5.0, 100.0], [7.0, 5.0, 100.01]], np.float32)


def test_mean_and_standard_deviation_by_hand():
    statistics = StateStatistics.measure("s", STATE[:, :1])
    assert statistics == StateStatistics("s", (4.0,), (5**0.5,))
    np.testing.assert_allclose(statistics.normalise(STATE[:, :1])[:, 0], np.array([-3, -1, 1, 3]) / 5**0.5, rtol=1e-6)


def test_a_component_that_hardly_moves_is_only_centred():
    """Component 1 is constant; component 2 moves by 1/10 000 of its size, as a noisy constant does."""
    statistics = StateStatistics.measure("s", STATE)
    assert statistics.dim == 3
    assert statistics.std[1:] == (1.0, 1.0)
    np.testing.assert_allclose(statistics.normalise(STATE)[:, 1:], [[0, -0.005], [0, 0.005]] * 2, atol=1e-5)


def test_one_wild_reading_is_clipped():
    statistics = StateStatistics("s", (0.0,), (2.0,))
    result = statistics.normalise(np.array([[9.0], [1000.0], [-1000.0]]))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[4.5], [5.0], [-5.0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_state_that_is_not_finite_is_refused(bad):
    state = STATE.copy()
    state[2, 1] = bad
    with pytest.raises(DatasetError, match=rf"column 's', frame 2, component 1: expected a finite number, got {bad}"):
        StateStatistics.measure("s", state)


def test_another_number_of_components_is_refused():
    with pytest.raises(DatasetError, match=r"state 's': expected 1 components as in training, got 3"):
        StateStatistics("s", (0.0,), (1.0,)).normalise(STATE)
