"""Figures and their intervals against plain numpy on all frames at once, and by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from pistar_vf.categorical import Support
from pistar_vf.evaluation.episode_scores import MEASURES, EpisodeScores
from pistar_vf.evaluation.frame_scores import FRAME_MEASURES
from pistar_vf.intervals import bootstrap_interval

LENGTHS = np.array([9, 5, 12, 7, 4])
SUCCEEDED = np.array([True, False, True, False, True])


@pytest.fixture(scope="module")
def frames():
    """(per-frame measures, targets) of five episodes, made up."""
    rng = np.random.default_rng(3)
    target = np.concatenate([np.linspace(-1, 0, n) if won else np.full(n, -1.0) for n, won in zip(LENGTHS, SUCCEEDED)])
    names = set(FRAME_MEASURES) - {"mae", "mse"}
    made = {name: rng.random(LENGTHS.sum()) for name in sorted(names)}
    return {**made, "value": np.clip(target + rng.normal(0, 0.3, len(target)), -1, 0)}, target


@pytest.fixture(scope="module")
def scores(frames):
    return EpisodeScores.of_frames(*frames, LENGTHS, SUCCEEDED, Support())


def oracle(frames, episodes) -> dict[str, float]:
    """All figures of some episodes (with repeats), from their frames."""
    measured, target = frames
    ends = np.cumsum(LENGTHS)
    spans = [np.arange(ends[e] - LENGTHS[e], ends[e]) for e in episodes]
    rows = np.concatenate(spans)
    value = measured["value"]
    found = {name: measured[name][rows].mean() for name in FRAME_MEASURES if name in measured}
    found["mae"] = np.abs(value[rows] - target[rows]).mean()
    found["mse"] = np.square(value[rows] - target[rows]).mean()
    ordered = [spearmanr(value[s], target[s]).statistic for e, s in zip(episodes, spans) if SUCCEEDED[e]]
    found["spearman"] = np.mean(ordered) if ordered else np.nan
    late = [value[span][-max(1, len(span) // 4) :].mean() for span in spans]
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, won in zip(late, SUCCEEDED[episodes])
        if won
        for b, other in zip(late, SUCCEEDED[episodes])
        if not other
    ]
    found["auc"] = np.mean(pairs) if pairs else np.nan
    found["ece"] = 0.0
    for low in np.arange(-10, 0) / 10:
        last = low == -0.1
        inside = [row for row in rows if low <= value[row] < low + 0.1 - 1e-12 or (last and value[row] >= low)]
        if inside:
            gap = abs(value[inside].mean() - target[inside].mean())
            found["ece"] += len(inside) / len(rows) * gap
    return found


def test_figures(frames, scores):
    expected = oracle(frames, np.arange(5))
    assert dict(zip(MEASURES, scores.figures())) == pytest.approx({name: expected[name] for name in MEASURES})


def test_intervals_are_those_of_episodes_drawn_anew(frames, scores):
    """The same draws, every figure from the frames of the episodes drawn."""
    rng = np.random.default_rng(5)
    draws = [oracle(frames, rng.integers(0, 5, 5)) for _ in range(60)]
    low, high = scores.intervals(level=0.9, num_resamples=60, seed=5)
    for name, own_low, own_high in zip(MEASURES, low, high):
        defined = [draw[name] for draw in draws if np.isfinite(draw[name])]
        np.testing.assert_allclose([own_low, own_high], np.quantile(defined, [0.05, 0.95]), err_msg=name)
    assert len([draw for draw in draws if np.isnan(draw["auc"])]) > 0


def test_means_over_equally_long_episodes_have_the_librarys_interval():
    rng = np.random.default_rng(0)
    lengths = np.full(6, 4)
    frames = {name: rng.random(24) for name in ("value", *FRAME_MEASURES)}
    target = -rng.random(24)
    scores = EpisodeScores.of_frames({**frames, "value": target}, target, lengths, np.ones(6, bool), Support())
    low, high = scores.intervals()
    expected = bootstrap_interval(frames["loss"].reshape(6, 4).mean(axis=1))
    assert (low[0], high[0]) == pytest.approx(expected)


def test_calibration_by_hand():
    """Three frames say -0.95 and are -0.8 on average; one says -0.5 and is: 3/4 · 0.15."""
    value, target = np.array([-0.95, -0.95, -0.95, -0.5]), np.array([-1.0, -0.9, -0.5, -0.5])
    frames = {**{name: np.zeros(4) for name in FRAME_MEASURES}, "value": value}
    scores = EpisodeScores.of_frames(frames, target, np.array([4]), np.array([True]), Support())
    assert dict(zip(MEASURES, scores.figures()))["ece"] == pytest.approx(0.75 * 0.15)


def test_opposite_errors_at_the_same_value_are_calibrated():
    value, target = np.array([-0.5, -0.5]), np.array([-1.0, 0.0])
    frames = {**{name: np.zeros(2) for name in FRAME_MEASURES}, "value": value}
    figures = EpisodeScores.of_frames(frames, target, np.array([2]), np.array([True]), Support()).figures()
    assert dict(zip(MEASURES, figures))["ece"] == pytest.approx(0.0)
    assert dict(zip(MEASURES, figures))["mae"] == pytest.approx(0.5)


def test_what_is_undefined_is_nan(frames, scores):
    failures = dict(zip(MEASURES, scores.take(np.array([1, 3])).figures()))
    assert [name for name, value in failures.items() if np.isnan(value)] == ["spearman", "auc"]
    assert np.isnan(scores.take(np.array([0])).intervals(num_resamples=5)).all()


def test_parts_are_put_together(frames, scores):
    measured, target = frames
    cut = LENGTHS[:2].sum()
    halves = [
        EpisodeScores.of_frames({k: v[rows] for k, v in measured.items()}, target[rows], *own, Support())
        for rows, own in (
            (slice(0, cut), (LENGTHS[:2], SUCCEEDED[:2])),
            (slice(cut, None), (LENGTHS[2:], SUCCEEDED[2:])),
        )
    ]
    np.testing.assert_allclose(EpisodeScores.concatenate(halves).figures(), scores.figures())
