"""Figures and their intervals against plain numpy on all frames at once, and by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from pistar_vf.categorical import Support
from pistar_vf.evaluation.episode_scores import MEASURES, EpisodeScores
from pistar_vf.evaluation.frame_scores import FRAME_MEASURES
from pistar_vf.intervals import auc_interval, difference_interval, jackknife_interval, ratio_interval

LENGTHS = np.array([9, 5, 12, 7, 4])
SUCCEEDED = np.array([True, False, True, False, True])
TASKS = ["a", "a", "b", "b", "b"]


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
    return EpisodeScores.of_frames(*frames, LENGTHS, SUCCEEDED, Support(), TASKS)


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
    order = [spearmanr(value[span], np.arange(len(span))).statistic for span in spans]
    won = SUCCEEDED[episodes]
    for name, group in (("order_success", won), ("order_failure", ~won)):
        found[name] = np.mean(np.array(order)[group]) if group.any() else np.nan
    means = np.array([value[span].mean() for span in spans])
    found["value_gap"] = means[won].mean() - means[~won].mean() if 0 < won.sum() < len(won) else np.nan
    ends = {"auc": [value[span][-max(1, len(span) // 4) :].mean() for span in spans]}
    ends["auc_last"] = [value[span][-1] for span in spans]
    tasks = [TASKS[e] for e in episodes]
    for name, end in ends.items():
        both = [(i, j) for i in np.flatnonzero(won) for j in np.flatnonzero(~won) if tasks[i] == tasks[j]]
        pairs = [(end[i] > end[j]) + 0.5 * (end[i] == end[j]) for i, j in both]
        found[name] = np.mean(pairs) if pairs else np.nan
    right = []
    for i, one in enumerate(spans):
        for j, other in enumerate(spans):
            for k, m in zip(one, other):  # the same moment of both
                if tasks[i] == tasks[j] and target[k] - target[m] >= 0.1:
                    right.append((value[k] > value[m]) + 0.5 * (value[k] == value[m]))
    found["concordance"] = np.mean(right) if right else np.nan
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


def test_intervals(frames, scores):
    """Each by the rule for its kind of figure, see test_intervals.py; the calibration error has none."""
    measured, target = frames
    low, high = (dict(zip(MEASURES, ends)) for ends in scores.intervals())
    ends = np.cumsum(LENGTHS)
    spans = [np.arange(end - length, end) for end, length in zip(ends, LENGTHS)]
    sums = np.array([np.abs(measured["value"][s] - target[s]).sum() for s in spans])
    assert (low["mae"], high["mae"]) == pytest.approx(ratio_interval(sums, LENGTHS))
    sums = np.array([measured["top1"][s].sum() for s in spans])
    assert (low["top1"], high["top1"]) == pytest.approx(ratio_interval(sums, LENGTHS, top=1.0))
    figures = dict(zip(MEASURES, scores.figures()))
    assert (low["auc"], high["auc"]) == pytest.approx(auc_interval(figures["auc"], [(1, 1), (2, 1)]))
    means = np.array([measured["value"][s].mean() for s in spans])
    assert (low["value_gap"], high["value_gap"]) == pytest.approx(
        difference_interval(means[SUCCEEDED], means[~SUCCEEDED])
    )
    undefined = [name for name in MEASURES if np.isnan(low[name])]
    assert undefined == ["spearman", "order_success", "order_failure", "ece"]  # three successes, two failures
    for name in set(MEASURES) - set(undefined):
        assert low[name] <= figures[name] <= high[name], name
        assert low[name] < high[name], name


def test_the_concordance_is_jackknifed_by_episode(frames, scores):
    """Leaving an episode out of the counts is leaving it out of the frames."""
    left_out = [oracle(frames, np.delete(np.arange(5), i))["concordance"] for i in range(5)]
    figure = oracle(frames, np.arange(5))["concordance"]
    known = [x for x in left_out if np.isfinite(x)]
    assert len(known) == 5
    expected = jackknife_interval(figure, np.array(known))
    row = MEASURES.index("concordance")
    assert tuple(scores.intervals()[:, row]) == pytest.approx(expected)


def test_a_clock_and_a_constant_are_told_apart(frames):
    """The clock orders frames in time as well as anybody; it has one half where both episodes are at the same frame."""
    lengths, succeeded = np.array([20, 20, 12, 30]), np.array([True, False, True, False])
    target = np.concatenate([np.linspace(-1, 0, n) if won else np.full(n, -1.0) for n, won in zip(lengths, succeeded)])
    time = np.concatenate([np.arange(n) for n in lengths])
    for value, order in ((-1 + time / 30, 1.0), (np.full(len(time), -0.6), 0.0)):
        made = {**{name: np.zeros(len(time)) for name in FRAME_MEASURES}, "value": value}
        own = EpisodeScores.of_frames(made, target, lengths, succeeded, Support())
        figures = dict(zip(MEASURES, own.figures()))
        assert figures["concordance"] == 0.5
        assert figures["order_success"] == pytest.approx(order)
        assert figures["order_failure"] == pytest.approx(order)
        assert own.auc_p_value > 0.2


def test_tasks_apart(frames, scores):
    first, second = scores.by_task()
    assert (first["task"], first["successes"], first["failures"]) == ("a", 1, 1)
    assert (second["task"], second["successes"], second["failures"]) == ("b", 2, 1)
    for row, episodes in ((first, [0, 1]), (second, [2, 3, 4])):
        expected = oracle(frames, np.array(episodes))
        for name in ("mae", "concordance", "auc", "auc_last", "value_gap", "order_success"):
            assert row[name] == pytest.approx(expected[name], nan_ok=True), name


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
    undefined = ["spearman", "concordance", "order_success", "auc", "auc_last", "value_gap"]
    assert [name for name, value in failures.items() if np.isnan(value)] == undefined
    assert np.isnan(scores.take(np.arange(4)).intervals()).all()  # four episodes


def test_parts_are_put_together(frames, scores):
    measured, target = frames
    cut = LENGTHS[:2].sum()
    halves = [
        EpisodeScores.of_frames({k: v[rows] for k, v in measured.items()}, target[rows], *own[:2], Support(), own[2])
        for rows, own in (
            (slice(0, cut), (LENGTHS[:2], SUCCEEDED[:2], TASKS[:2])),
            (slice(cut, None), (LENGTHS[2:], SUCCEEDED[2:], TASKS[2:])),
        )
    ]
    np.testing.assert_allclose(EpisodeScores.concatenate(halves).figures(), scores.figures())
