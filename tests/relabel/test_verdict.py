"""Three words, and the worst decides."""

import numpy as np
import pytest

from pistar_vf.relabel.judging import at_least, at_most_share, at_most_zero
from pistar_vf.relabel.verdict import Criterion, Finding, Gate, Verdict, worst

PASSED, NOT_SHOWN, FAILED = Verdict.PASSED, Verdict.NOT_SHOWN, Verdict.FAILED


def test_the_worst_decides():
    assert worst([PASSED, NOT_SHOWN, PASSED]) is NOT_SHOWN
    assert worst([NOT_SHOWN, FAILED, PASSED]) is FAILED
    assert worst([PASSED]) is PASSED
    assert worst([]) is NOT_SHOWN  # what nobody measured has not passed


def test_a_criterion_names_what_decided():
    findings = (Finding("", "0.5", PASSED), Finding("task 'a'", "0.3", FAILED), Finding("task 'b'", "0.2", FAILED))
    criterion = Criterion("name", findings, ">= 0.4", "meaning", "advice")
    assert criterion.verdict is FAILED
    assert criterion.found == "task 'a': 0.3 (and 1 more)"
    assert Criterion("name", findings[:1], "", "", "").found == "0.5"
    assert Criterion("name", (), "", "", "").found == "nothing to judge by"


def test_a_gate_of_criteria():
    good, open_, bad = (Criterion(v.value, (Finding("", "", v),), "", "", "") for v in (PASSED, NOT_SHOWN, FAILED))
    assert Gate((good, open_), 1, 1, (), ()).verdict is NOT_SHOWN
    assert not Gate((good, open_), 1, 1, (), ()).passed
    assert Gate((good,), 1, 1, (), ()).passed
    gate = Gate((good, open_, bad), 1, 1, (), ())
    assert gate.verdict is FAILED
    assert gate.named(NOT_SHOWN) == ("NOT SHOWN",)


@pytest.mark.parametrize(
    ("per_episode", "expected"),
    [
        ([-0.1, 0.05], PASSED),
        ([0.1, 0.1, 0.1], NOT_SHOWN),  # three episodes are too few for FAILED
        ([0.1, 0.1, 0.1, 0.12], FAILED),
        ([0.1, -0.09, 0.1, 0.12, -0.08], NOT_SHOWN),  # mean 0.03, standard error 0.05
    ],
)
def test_a_mean_over_episodes(per_episode, expected):
    assert at_most_zero(np.array(per_episode)) is expected


def test_clearance_below_zero():
    """Mean -0.02, standard error 0.0145."""
    near = np.array([-0.05, -0.02, 0.03, -0.04, -0.02])
    assert at_most_zero(near) is PASSED
    assert at_most_zero(near, clearance=1.0) is PASSED
    assert at_most_zero(near, clearance=2.0) is NOT_SHOWN


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(2, 10, PASSED), (1, 2, NOT_SHOWN), (5, 10, NOT_SHOWN), (7, 10, FAILED), (2, 2, NOT_SHOWN), (3, 3, FAILED)],
)
def test_a_share_that_may_not_be_large(count, total, expected):
    """Clopper-Pearson at 99 %, one-sided: 7 of 10 is at least 0.34, 5 of 10 at least 0.15, 3 of 3 at least 0.215."""
    assert at_most_share(count, total, 0.2) is expected


@pytest.mark.parametrize(
    ("share", "total", "expected"),
    [(0.9, 4, PASSED), (0.5, 4, NOT_SHOWN), (0.5, 10, FAILED), (0.84, 20, NOT_SHOWN), (0.75, 100, FAILED)],
)
def test_a_share_that_may_not_be_small(share, total, expected):
    assert at_least(share, 0.9, total) is expected
