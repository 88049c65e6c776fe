"""The worked examples in docs/relabel.md are what the code computes."""

from pathlib import Path

import numpy as np
from support.rollout_sets import flags, make_rollouts

from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.label import POSITIVE, compute_advantages, find_thresholds, label_frames
from pistar_vf.returns.advantages import gae_advantages, monte_carlo_advantages, n_step_advantages

DOCS = Path(__file__).parents[2] / "docs" / "relabel.md"


def row(name):
    line = next(line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {name} |"))
    return np.array([float(cell) for cell in line.strip("| ").split("|")[1:]])


def test_every_row():
    episode = (row("r"), row("V"), np.array([5]), np.zeros(1))
    expected = {
        "n_step, N = 2": n_step_advantages(*episode, 2),
        "monte_carlo": monte_carlo_advantages(*episode),
        "gae, λ = ½": gae_advantages(*episode, 0.5),
    }
    for name, numbers in expected.items():
        np.testing.assert_allclose(row(name), numbers, atol=1e-12, err_msg=name)


def test_the_takeover():
    operator = flags((3, 5), size=8)
    rollouts = make_rollouts([8], intervention=operator, reward=row("reward").astype(np.float32))
    value, rule = row("value").astype(np.float32), LabelRule(lookahead=5)
    advantage = compute_advantages(value, rollouts, rule)
    np.testing.assert_allclose(row("A, to the takeover"), advantage, atol=1e-6)
    labels = label_frames(advantage, find_thresholds(advantage, rollouts, rule), rollouts, rule)
    assert np.flatnonzero(labels.code == POSITIVE).tolist() == [3, 4, 5, 7]
    across = n_step_advantages(row("reward"), value, np.array([8]), np.zeros(1), 5)
    np.testing.assert_allclose(row("A, across it"), across, atol=1e-6)
    assert np.flatnonzero(across > np.percentile(across[~operator], 70)).tolist() == [1, 2, 3, 4]
