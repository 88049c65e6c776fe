"""The baselines on data where the right answer is known."""

import builtins
from pathlib import Path

import numpy as np
import pytest

from pistar_vf.data.lerobot import Episode
from pistar_vf.errors import ConfigError
from pistar_vf.evaluation.baselines import clock_baseline, state_tree_baseline


def of_length(length: int) -> Episode:
    """An episode of which only the length matters."""
    return Episode(index=0, length=length, start=0, tasks=(), parquet=Path(), metadata={})


def test_the_clock_by_hand():
    # Mean length of training 4: 0/4 - 1, 1/4 - 1, … and never above 0.
    value = clock_baseline((of_length(3), of_length(5)), (of_length(2), of_length(6)))
    np.testing.assert_allclose(value, [-1.0, -0.75, -1.0, -0.75, -0.5, -0.25, 0.0, 0.0])


def test_the_trees_learn_a_step_and_stay_in_the_support():
    pytest.importorskip("sklearn")
    state = np.linspace(-1, 1, 400)[:, None].astype(np.float32)
    target = np.where(state[:, 0] > 0, 0.5, -2.0).astype(np.float32)
    value = state_tree_baseline(state, target, np.array([[-0.5], [0.5]], np.float32))
    np.testing.assert_allclose(value, [-1.0, 0.0], atol=1e-6)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"pip install 'pistar-vf\[baselines\]'"):
        state_tree_baseline(np.zeros((2, 1), np.float32), np.zeros(2, np.float32), np.zeros((1, 1), np.float32))
