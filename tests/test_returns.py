"""Returns and RECAP columns against numbers worked out by hand."""

import numpy as np
import pytest

from pistar_vf.errors import LabelError
from pistar_vf.returns import RECAP_COLUMNS, Outcome, recap_columns, value_ramp


def test_value_ramp_of_a_success_by_hand() -> None:
    ramp = value_ramp(4, success=True)
    np.testing.assert_array_equal(ramp, np.array([-0.75, -0.5, -0.25, 0.0], np.float32))
    assert ramp.dtype == np.float32


def test_value_ramp_of_a_failure_is_minus_one() -> None:
    np.testing.assert_array_equal(value_ramp(3, success=False), np.array([-1, -1, -1], np.float32))


def test_one_frame_success_is_worth_zero() -> None:
    np.testing.assert_array_equal(value_ramp(1, success=True), np.zeros(1, np.float32))


def test_columns_of_a_corrected_success_by_hand() -> None:
    columns = recap_columns(5, Outcome.SUCCESS, np.array([0, 1, 1, 0, 0]))
    expected = {
        "intervention": np.array([0, 1, 1, 0, 0], np.int64),
        "reward": np.array([0, 0, 0, 0, 1], np.float32),
        "reward_label": np.array([-0.2, -0.2, -0.2, -0.2, 0], np.float32),
        "value_label": np.array([-0.8, -0.6, -0.4, -0.2, 0], np.float32),
        "adv_ind": np.array(["none", "positive", "positive", "none", "none"]),
    }
    assert tuple(columns) == tuple(expected) == RECAP_COLUMNS
    for name, values in expected.items():
        np.testing.assert_array_equal(columns[name], values)
        assert columns[name].dtype.kind == values.dtype.kind
        assert name == "adv_ind" or columns[name].dtype == values.dtype


def test_columns_of_a_failure_by_hand() -> None:
    columns = recap_columns(2, Outcome.FAILURE)
    np.testing.assert_array_equal(columns["reward"], [0, 0])
    np.testing.assert_array_equal(columns["reward_label"], [-0.5, 0])
    np.testing.assert_array_equal(columns["value_label"], [-1, -1])
    np.testing.assert_array_equal(columns["intervention"], [0, 0])
    assert columns["adv_ind"].tolist() == ["none", "none"]


@pytest.mark.parametrize(("timeout_as", "first"), [("failure", -1.0), ("success", -0.5)])
def test_timeout_counts_as_the_caller_says(timeout_as, first: float) -> None:
    assert recap_columns(2, Outcome.TIMEOUT, timeout_as=timeout_as)["value_label"][0] == first


def test_timeout_without_a_mapping_is_refused() -> None:
    with pytest.raises(LabelError, match=r"told what a timeout counts as.*timeout_as='failure'"):
        recap_columns(2, Outcome.TIMEOUT)


def test_intervention_may_be_bool_and_of_shape_t_1() -> None:
    np.testing.assert_array_equal(
        recap_columns(2, Outcome.SUCCESS, np.array([[True], [False]]))["intervention"], [1, 0]
    )


def test_malformed_episodes_are_refused() -> None:
    with pytest.raises(LabelError, match="at least 1 frame, got 0"):
        value_ramp(0, success=True)
    with pytest.raises(LabelError, match=r"each of 3 frames, got \(2,\)"):
        recap_columns(3, Outcome.SUCCESS, np.array([0, 1]))
    with pytest.raises(LabelError, match=r"0 or 1 in every frame, got \[0, 2\]"):
        recap_columns(2, Outcome.SUCCESS, np.array([0, 2]))
