"""What value labels say about the end of an episode: one rule for the split, the banner, the check and the figures."""

import numpy as np
import pytest

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.labels.split import episode_strata
from pistar_vf.labels.targets import read_targets
from pistar_vf.labels.value_labels import describe_targets
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.returns import Outcome, labelled_outcomes
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

S, F, T = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT


def test_by_hand():
    layout = EpisodeLayout.of([3, 2, 2, 1, 2])
    labels = np.array([-1, -0.5, 0, -1, -1, np.nan, np.nan, 0, -1, np.nan], np.float32)
    assert labelled_outcomes(labels, layout) == (S, F, T, S, T)


@pytest.mark.parametrize(
    ("label", "expected"), [(-1.0, F), (-0.9999995, F), (-0.999995, F), (-0.9999, S), (-0.995, S), (-1.000005, F)]
)
def test_rounding_is_no_success(label, expected):
    assert labelled_outcomes(np.full(4, label, np.float32), EpisodeLayout.of([4])) == (expected,)


def test_everybody_goes_by_it(tmp_path):
    """A failure whose labels were rounded; the recap columns of a success and of that."""
    values = [np.array([-2 / 3, -1 / 3, 0], np.float32), np.full(3, -0.9999995, np.float32)]
    rewards = [np.array([-1 / 3, -1 / 3, 0], np.float32)] * 2
    columns = [{"value_label": value, "reward_label": reward} for value, reward in zip(values, rewards)]
    dataset = load_lerobot(write_lerobot_v21(tmp_path / "set", [EpisodeData(c, {}, "push") for c in columns], fps=10))
    labels = np.concatenate(values)
    assert episode_strata(dataset, labels, None) == [("success", "push"), ("failure", "push")]
    summary = describe_targets(labels, dataset.layout)
    assert (summary.num_successes, summary.num_failures) == (1, 1)
    assert read_targets(dataset, "episode_ramp").outcomes == {0: S, 1: F}
