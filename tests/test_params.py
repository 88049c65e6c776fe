"""Flat parameter trees, and the one report of how two of them differ."""

import numpy as np

from pistar_vf.params import flatten, leaf_differences, listed_lines, num_parameters, shapes_of, unflatten

TREE = {"b": {"kernel": np.zeros((2, 3)), "bias": np.zeros(3)}, "a": np.zeros(())}


def test_flat_and_back():
    flat = flatten(TREE)
    assert list(flat) == ["a", "b/bias", "b/kernel"]
    assert unflatten(flat) == TREE
    assert num_parameters(flat) == 10
    assert shapes_of(flat) == {"a": (), "b/bias": (3,), "b/kernel": (2, 3)}


def test_differences_by_hand():
    expected = {"same": (1,), "lost": (2, 3), "turned": (2, 3)}
    stored = {"turned": (3, 2), "extra": (), "same": (1,)}
    assert leaf_differences(expected, stored) == [
        "− lost (2, 3)",
        "+ extra ()",
        "≠ turned: expected (2, 3), got (3, 2)",
    ]
    assert leaf_differences(expected, expected) == []


def test_a_report_names_the_first_ones():
    assert listed_lines(["− a", "+ b"]) == "\n  − a\n  + b"
    assert listed_lines([str(number) for number in range(5)], most=3) == "\n  0\n  1\n  2\n  …"
    assert listed_lines([]) == ""
