"""The worked example in docs/relabel.md is what the code computes."""

from pathlib import Path

import numpy as np

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
