"""Lengths of episodes to places of frames and reductions over episodes; oracle: loops over lists."""

import numpy as np
import pytest

from pistar_vf.episode_layout import EpisodeLayout

LENGTHS = (4, 1, 7, 2)


@pytest.fixture
def layout():
    return EpisodeLayout.of(LENGTHS)


def test_places_by_hand(layout):
    assert layout.starts.tolist() == [0, 4, 5, 12]
    assert layout.ends.tolist() == [4, 5, 12, 14]
    assert layout.last_frames.tolist() == [3, 4, 11, 13]
    assert layout.num_frames == 14


def test_every_frame_by_hand(layout):
    assert layout.numbers().tolist() == [0] * 4 + [1] + [2] * 7 + [3] * 2
    assert layout.frame_index().tolist() == [0, 1, 2, 3, 0, 0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert layout.steps_left().tolist() == [3, 2, 1, 0, 0, 6, 5, 4, 3, 2, 1, 0, 1, 0]
    assert layout.spread(np.array([7, 8, 9, 5])).tolist() == [7] * 4 + [8] + [9] * 7 + [5] * 2


@pytest.mark.parametrize(("part", "expected"), [(0.0, [0, 4, 5, 12]), (0.5, [2, 4, 8, 12]), (1.0, [3, 4, 11, 13])])
def test_moments_by_hand(layout, part, expected):
    """Half of one step is rounded to the even frame."""
    assert layout.moment(part).tolist() == expected


def test_reductions(layout):
    values = np.random.default_rng(0).normal(size=(14, 3)).astype(np.float32)
    flags = np.array([1] * 4 + [0] + [1, 0, 1, 1, 1, 1, 1] + [0, 0], bool)
    parts = np.split(values, [4, 5, 12])
    assert [part.tolist() for part in layout.split(values)] == [part.tolist() for part in parts]
    np.testing.assert_allclose(layout.sum(values), [part.sum(0) for part in parts], rtol=1e-5)
    np.testing.assert_array_equal(layout.max(values), [part.max(0) for part in parts])
    exact = [part[:, 0].astype(np.float64).mean() for part in parts]
    np.testing.assert_allclose(layout.mean(values[:, 0]), exact, rtol=1e-12)
    assert layout.all(flags).tolist() == [True, False, False, False]
    assert layout.any(flags).tolist() == [True, False, True, False]


def test_no_episodes():
    layout, nothing = EpisodeLayout.of(()), np.zeros(0, bool)
    assert layout.num_frames == 0
    for array in (
        layout.numbers(),
        layout.frame_index(),
        layout.steps_left(),
        layout.all(nothing),
        layout.sum(nothing),
    ):
        assert array.tolist() == []
    assert layout.split(nothing) == []
