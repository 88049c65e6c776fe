"""Success rates of a round. Oracle: Wilson's interval by hand."""

import math

import pytest

from pistar_vf.rounds.record import RoundResult
from pistar_vf.rounds.summary import success_rate


def result(**outcomes):
    return RoundResult(outcomes, 20, "PASSED", None, 0.3, 0.3, None, ())


def test_wilsons_interval():
    z, n, p = 1.959964, 10, 0.7
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert success_rate(result(success=7, failure=2, timeout=1)) == pytest.approx((p, low, high), abs=1e-6)
    assert (round(low, 3), round(high, 3)) == (0.397, 0.892)


def test_no_success_and_no_episode():
    assert success_rate(result(failure=4))[:2] == (0.0, 0.0)
    assert all(math.isnan(number) for number in success_rate(result()))
