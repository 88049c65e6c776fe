"""Which episodes are shown, by hand."""

import re

import numpy as np
import pytest

from pistar_vf.report.choose import Ranking, by_disagreement, choose, in_words

NAN = float("nan")


def ranking(disagreement, score, unseen=None):
    unseen = np.ones(len(score), bool) if unseen is None else np.array(unseen)
    return Ranking(np.array(disagreement), np.array(score), unseen)


def test_the_worst_disagreement_the_best_and_the_worst_in_turn():
    found = ranking([0.1, 0.5, 0.2, 0.3, 0.4], [0.0, 0.1, 0.9, -0.9, 0.2])
    assert choose(found, 1).tolist() == [1]
    assert choose(found, 3).tolist() == [1, 3, 2]  # 1: disagreement, 2: best, 3: worst; then by disagreement
    assert choose(found, 4).tolist() == [1, 4, 3, 2]
    assert choose(found, 99).tolist() == [1, 4, 3, 2, 0]


def test_unseen_episodes_come_before_those_of_the_training():
    found = ranking([0.1, 0.9, 0.2], [0.3, 0.9, 0.2], [True, False, True])
    assert choose(found, 2).tolist() == [2, 0]
    assert choose(found, 3).tolist() == [1, 2, 0]


def test_without_values_the_first_ones():
    assert choose(ranking([NAN] * 4, [NAN] * 4), 2).tolist() == [0, 1]


def test_named_episodes_are_ordered_too():
    assert by_disagreement(ranking([0.1, NAN, 0.2, 0.3], [0.0] * 4), [3, 0, 1]).tolist() == [3, 0, 1]


@pytest.mark.parametrize(
    ("num_shown", "num_all", "named", "expected"),
    [
        (3, 3, False, "^All 3 episodes"),
        (2, 9, True, "^2 of 9 episodes, as named"),
        (2, 9, False, "^2 of 9 .*too large"),
    ],
)
def test_the_reader_is_told_how_many_and_why(num_shown, num_all, named, expected):
    assert re.search(expected, in_words(num_shown, num_all, named))
