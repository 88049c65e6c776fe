"""Metrics against hand-made numbers, scipy and scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

from pistar_vf.categorical import Support
from pistar_vf.metrics import (
    InputSensitivity,
    auc,
    episode_spearman,
    frame_metrics,
    late_values,
    same_time_concordance,
    summarise,
)

FIVE = Support(num_atoms=5)
"""Atoms -1, -0.75, -0.5, -0.25, 0."""


def test_frame_metrics_by_hand():
    """Probabilities (.1 .2 .4 .2 .1): mean -0.5. A target of -0.5 is one atom, -0.6 is 0.4 of -0.75 and 0.6 of -0.5."""
    logits = jnp.log(jnp.array([[0.1, 0.2, 0.4, 0.2, 0.1]] * 2))
    result = frame_metrics(logits, jnp.array([-0.5, -0.6]), FIVE)
    cross_entropy = [-np.log(0.4), -0.4 * np.log(0.2) - 0.6 * np.log(0.4)]
    entropy = [0.0, -0.4 * np.log(0.4) - 0.6 * np.log(0.6)]
    np.testing.assert_allclose(result["value"], [-0.5, -0.5], atol=1e-6)
    np.testing.assert_allclose(result["cross_entropy"], cross_entropy, rtol=1e-5)
    np.testing.assert_allclose(result["kl"], np.subtract(cross_entropy, entropy), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("target", "top1", "top5"), [(0.0, 1, 1), (-0.2, 0, 1), (-0.25, 0, 0), (-1.0, 0, 0)])
def test_top1_and_top5_by_hand(target, top1, top5):
    """21 atoms of 0.05, likelihood falling from the top: the five likeliest are 0 to -0.2."""
    logits = jnp.arange(21, dtype=jnp.float32)[None]
    result = frame_metrics(logits, jnp.array([target]), Support(num_atoms=21))
    assert (result["top1"].item(), result["top5"].item()) == (top1, top5)


def test_equally_likely_atoms_share_the_top():
    """An untrained head says the same of all atoms: its chances are 1 and 5 of 201, whatever the target."""
    result = frame_metrics(jnp.zeros((2, 201)), jnp.array([-1.0, -0.3]), Support())
    np.testing.assert_allclose(result["top1"], [1 / 201] * 2, rtol=1e-6)
    np.testing.assert_allclose(result["top5"], [5 / 201] * 2, rtol=1e-6)
    # One likelier atom, then three that share four places with the target's.
    logits = jnp.log(jnp.array([[0.3, 0.2, 0.2, 0.2, 0.1]]))
    shared = frame_metrics(jnp.tile(logits, (1, 1)), jnp.array([-0.5]), FIVE)
    assert (shared["top1"].item(), shared["top5"].item()) == (0.0, 1.0)
    tied = frame_metrics(jnp.zeros((1, 5)).at[0, 0].set(1.0), jnp.array([-1.0]), FIVE)
    assert tied["top1"].item() == 1.0


def test_a_perfect_prediction_has_no_divergence():
    logits = jnp.log(jnp.array([[0.0, 0.4, 0.6, 0.0, 0.0]]) + 1e-30)
    assert abs(frame_metrics(logits, jnp.array([-0.6]), FIVE)["kl"].item()) < 1e-6


def test_summary_by_hand():
    frames = {name: np.array([0.0, 1.0, 0.5, 0.5]) for name in ("cross_entropy", "kl", "top1", "top5")}
    frames["value"] = np.array([-1.0, -0.5, 0.0, -0.5])
    result = summarise(frames, np.array([-1.0, -1.0, -0.5, 0.0]), np.array([0, 0, 1, 1]))
    expected = {"loss": 0.5, "kl": 0.5, "top1": 0.5, "top5": 0.5, "mae": 0.375, "value_std": 0.125**0.5}
    # Episode 0 has one target and does not count; in episode 1 the order is reversed.
    assert result == pytest.approx({**expected, "spearman": -1.0})


def test_rank_correlation_is_scipys_averaged_over_episodes():
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(4), 25)
    target = np.round(rng.random(100), 1)  # with ties
    value = target + 0.5 * rng.standard_normal(100)
    expected = np.mean([spearmanr(value[episode == i], target[episode == i]).statistic for i in range(4)])
    assert episode_spearman(value, target, episode) == pytest.approx(expected, abs=1e-12)


def test_a_constant_prediction_orders_nothing():
    assert episode_spearman(np.full(4, -0.5), np.array([-1.0, -0.5, -0.2, 0.0]), np.zeros(4, int)) == 0.0


def test_without_a_varying_target_there_is_no_rank_correlation():
    assert np.isnan(episode_spearman(np.arange(4.0), np.full(4, -1.0), np.zeros(4, int)))


def test_auc_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    score, positive = np.round(rng.random(200), 1), rng.random(200) < 0.3
    assert auc(score, positive) == pytest.approx(metrics.roc_auc_score(positive, score), abs=1e-12)


def test_auc_by_hand():
    """Pairs: 3>1, 3>2, 2=2 (half), 2>1: 3.5 of 4."""
    assert auc(np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])) == 3.5 / 4


def test_the_rounding_of_a_mean_is_no_order():
    """Means of 7, 11, … equal numbers differ in their last digits; they once ranked a constant at 0.4167."""
    score = np.array([np.full(n, np.float32(-0.37)).astype(np.float64).mean() for n in (7, 11, 13, 29, 31)])
    score[1] += 1e-9
    assert auc(score, np.array([True, False, True, False, False])) == 0.5
    assert episode_spearman(-0.5 + 1e-8 * np.arange(4), np.array([-1.0, -0.5, -0.2, 0.0]), np.zeros(4, int)) == 0.0


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_auc_needs_both_classes(positive):
    assert np.isnan(auc(np.array([1.0, 2.0]), np.array(positive)))


# Three episodes of one task: two frames, three and two; the third is of another task's number in one test.
EPISODE = np.array([0, 0, 1, 1, 1, 2, 2])
TIME = np.array([0, 1, 0, 1, 2, 0, 1])
TARGET = np.array([-0.5, 0.0, -0.66, -0.33, 0.0, -1.0, -1.0])


def concordance(value, target=TARGET, task=None, **options):
    task = np.zeros(7, int) if task is None else np.array(task)
    return same_time_concordance(np.array(value, float), target, EPISODE, TIME, task, **options)


def test_same_time_concordance_by_hand():
    """Frame 0: targets -0.5, -0.66, -1; frame 1: 0, -0.33, -1; frame 2 is in one episode only: six pairs."""
    assert concordance(TARGET) == 1.0
    assert concordance(-TARGET) == 0.0
    #                   e0: .2 .1   e1: .3 .1 .9   e2: .1 .1: frame 0 gets (0, 1, 1), frame 1 three ties
    assert concordance([0.2, 0.1, 0.3, 0.1, 0.9, 0.1, 0.1]) == 3.5 / 6
    # Frames 0 of the first two episodes are 0.16 apart: five pairs are left.
    assert concordance([0.2, 0.1, 0.3, 0.1, 0.9, 0.1, 0.1], min_gap=0.2) == 3.5 / 5


def test_a_clock_gets_one_half():
    assert concordance(TIME**2 / 9 - 1) == 0.5
    task = [0, 0, 0, 0, 0, 1, 1]
    assert concordance(TIME + 5.0 * np.array(task), task=task) == 0.5  # of each task, too


def test_episodes_of_two_tasks_are_not_compared():
    assert concordance([0.0, 0.0, 1.0, 1.0, 1.0, 9.0, 9.0], task=[0, 0, 0, 0, 0, 1, 1]) == 0.0


def test_same_time_concordance_without_frames():
    nothing, none = np.zeros(0), np.zeros(0, int)
    assert np.isnan(same_time_concordance(nothing, nothing, none, none, none))


def test_same_time_concordance_without_pairs():
    assert np.isnan(concordance(TARGET, target=np.full(7, -1.0)))
    assert np.isnan(concordance(TARGET, target=np.where(EPISODE == 1, TARGET, np.nan)))


@pytest.mark.parametrize(
    ("mae", "shuffled", "std", "words"),
    [
        (0.1, 0.3, 0.2, None),
        (0.1, 0.1, 0.2, "V does not use the images"),
        (0.2, 0.1, 0.2, "V does not use the images"),
        (0.1, 0.3, 0.009, r"V is (almost) constant"),
        (0.2, 0.1, 0.009, r"V is (almost) constant"),
    ],
)
def test_warnings(mae, shuffled, std, words):
    warnings = InputSensitivity(mae, shuffled, float("nan"), std).warnings()
    assert len(warnings) == (words is not None)
    assert all(text.startswith(words) for text in warnings)


def test_late_values_by_hand():
    """Of 4 frames the last one, of 9 the last two, of 1 that one."""
    value = np.array([0, 0, 0, -0.5, 0, 0, 0, 0, 0, 0, 0, -0.25, -0.75, -1.0], np.float32)
    np.testing.assert_array_equal(late_values(value, np.array([4, 9, 1])), [-0.5, -0.5, -1.0])
