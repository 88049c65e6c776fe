"""Bootstrap intervals against the normal approximation, where it holds."""

import numpy as np
import pytest

from pistar_vf.intervals import bootstrap_interval


def test_like_the_normal_interval_for_many_episodes():
    figures = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = bootstrap_interval(figures)
    error = figures.std() / np.sqrt(400)
    assert low == pytest.approx(figures.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(figures.mean() + 1.96 * error, abs=0.15 * error)


def test_the_level_widens_it():
    figures = np.random.default_rng(2).normal(size=50)
    narrow, wide = bootstrap_interval(figures, level=0.5), bootstrap_interval(figures, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_one_episode_has_no_interval():
    assert np.isnan(bootstrap_interval(np.array([1.0]))).all()


def test_equal_figures_have_no_width():
    assert bootstrap_interval(np.full(5, 0.25)) == (0.25, 0.25)
