"""Counted by hand on a success with two takeovers and a failure."""

import numpy as np

from pistar_vf.testing.positive_shares import PositiveShares

LENGTHS = np.array([8, 4])
#                        the success            | the failure
POSITIVE = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 0], bool)
OPERATOR = np.array([0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0], bool)


def test_by_hand():
    """Three frames before the takeovers at 3 and 6: 0, 1, 2, then 4 and 5, as the operator drove in 3."""
    found = PositiveShares.measure(POSITIVE, OPERATOR, LENGTHS, np.array([False, True]), 3)
    assert found.positive == 4 / 9  # 0, 2, 5 and 10 of the nine frames of the policy
    assert found.positive_before_takeovers == 3 / 5
    assert found.positive_ends_of_failures == 1 / 3


def test_nothing_to_count():
    found = PositiveShares.measure(POSITIVE, np.zeros(12, bool), LENGTHS, np.zeros(2, bool), 3)
    assert found.positive == 7 / 12
    assert np.isnan([found.positive_before_takeovers, found.positive_ends_of_failures]).all()
