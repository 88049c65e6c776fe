"""Normalisation of the state: hand-computed numbers, constants, clipping, refusals."""

import numpy as np
import pytest
from support.labelled_sets import LENGTHS, write

from pistar_vf.errors import DatasetError
from pistar_vf.frames.open_table import read_state
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


def test_an_encoder_far_from_its_zero_does_not_saturate():
    """50 000 counts ± 40, which is less than a thousandth: not divided at all, every reading was ±5."""
    state = (50_000 + 40 * np.sin(np.arange(200)))[:, None].astype(np.float32)
    result = StateStatistics.measure("s", state).normalise(state)
    assert 0.5 < np.abs(result).max() < 1
    assert len(np.unique(result)) > 100


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_later_state_that_is_not_finite_has_no_value(bad):
    statistics = StateStatistics("s", (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(DatasetError, match=rf"state 's', row 2, component 1: expected a finite number, got {bad}"):
        statistics.normalise(np.array([[0, 0], [0, 0], [0, bad]], np.float32))
    with pytest.raises(DatasetError, match="state 's', row 0, component 0: expected a finite number"):
        statistics.normalise(np.array([bad, 0], np.float32))


def test_a_hole_in_an_episodes_state_is_located(tmp_path):
    columns = [{"observation.state": np.zeros((length, 2), np.float32)} for length in LENGTHS]
    columns[1]["observation.state"][3, 1] = np.nan
    dataset = write(tmp_path / "set", columns)
    assert np.isnan(read_state(dataset, "observation.state")).sum() == 1
    assert read_state(dataset, "observation.state", dataset.episodes[::2]).shape == (7, 2)
    message = r"episode_000001.parquet, episode 1, frame 3, component 1: expected a finite number, got nan \(1 such"
    with pytest.raises(DatasetError, match=message):
        read_state(dataset, "observation.state", dataset.episodes[1:])
