"""The comparison with the simulator, on two episodes written out."""

import numpy as np
import pytest

from pistar_vf.testing.progress_agreement import ProgressAgreement, progress_gain

PROGRESS = np.array([0.0, 0.25, 0.5, 0.25, 1.0, 0.0, 0.0, 0.5], np.float32)
LENGTHS = np.array([5, 3])


def test_gain_ends_with_the_episode():
    nan = np.nan
    expected = [0.25, 0.25, -0.25, 0.75, nan, 0.0, 0.5, nan]
    np.testing.assert_array_equal(progress_gain(PROGRESS, LENGTHS, 1), expected)


def test_agreement_by_hand():
    positive = np.array([True, False, False, True, True, False, True, True])
    autonomous = np.array([True, True, True, False, True, True, True, True])
    found = ProgressAgreement.measure(PROGRESS, LENGTHS, autonomous, positive, 1)
    assert found.gain_positive == pytest.approx((0.25 + 0.5) / 2)
    assert found.gain_negative == pytest.approx((0.25 - 0.25 + 0.0) / 3)
    assert found.losses_not_positive == 1.0
