"""The trees on data where the right answer is known."""

import builtins

import numpy as np
import pytest

from pistar_vf.errors import ConfigError
from pistar_vf.evaluation.baselines import state_tree_baseline


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
    with pytest.raises(ConfigError, match=r"pip install 'scikit-learn>=1.4'"):
        state_tree_baseline(np.zeros((2, 1), np.float32), np.zeros(2, np.float32), np.zeros((1, 1), np.float32))
