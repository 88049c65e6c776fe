"""The figures of an evaluation as a chapter of the report."""

import numpy as np

from pistar_vf.evaluation.episode_scores import MEASURES, EpisodeScores
from pistar_vf.evaluation.report import LABELS, MODEL, Evaluation, in_words
from pistar_vf.report.charts import Line, Plot
from pistar_vf.report.content import Paragraph, Part, Section, Table

_BY_TASK = ("mae", "concordance", "auc", "auc_last", "value_gap")
_NUM_BINS = 10
_FEW_FRAMES = 20


def measures_section(evaluation: Evaluation, low: float, high: float) -> Section:
    """The model beside its baselines, tasks where there are several, and how well V is calibrated.

    Args:
        evaluation: the figures.
        low: lowest value that the model can give.
        high: highest one.
    """
    scores = evaluation.scores[MODEL]
    part = f"{evaluation.facts['split']}: {len(evaluation.episodes)} episodes, {int(scores.num_frames.sum()):,} frames"
    parts: list[Part] = [Paragraph(f"{part}."), _figures(evaluation)]
    parts += [Paragraph(f"{note}.", "plain") for note in evaluation.notes()]
    if len(rows := scores.by_task()) > 1:
        head = ("task", "successes", "failures", *(LABELS[name] for name in _BY_TASK))
        facts = [(str(row["task"]), str(row["successes"]), str(row["failures"])) for row in rows]
        cells = [(*own, *(in_words(m, float(row[m])) for m in _BY_TASK)) for own, row in zip(facts, rows)]
        parts.append(Table(head, tuple(cells)))
    parts.append(calibration(scores, low, high))
    return Section("Measures", tuple(parts))


def _figures(evaluation: Evaluation) -> Table:
    low, high = evaluation.scores[MODEL].intervals()
    every = [scores.figures() for scores in evaluation.scores.values()]
    rows = []
    for row, name in enumerate(MEASURES):
        model, *others = (in_words(name, float(figures[row])) for figures in every)
        known = np.isfinite(low[row])
        interval = f"{in_words(name, float(low[row]))} … {in_words(name, float(high[row]))}" if known else "–"
        rows.append((LABELS[name], model, interval, *others))
    return Table(("measure", MODEL, "interval", *list(evaluation.scores)[1:]), tuple(rows))


def calibration(scores: EpisodeScores, low: float, high: float) -> Plot:
    """What frames were worth on average, against their V, in ten equal parts of the range that hold enough frames."""
    cell = np.clip(((scores.value - low) / (high - low) * _NUM_BINS).astype(np.int64), 0, _NUM_BINS - 1)
    count = np.bincount(cell, minlength=_NUM_BINS)
    kept = count >= _FEW_FRAMES
    value, target = (
        np.bincount(cell, weights=numbers, minlength=_NUM_BINS)[kept] / count[kept]
        for numbers in (scores.value, scores.target)
    )
    ends = np.array([low, high])
    lines = (Line("exact", ends, ends, "quiet", dashed=True), Line("mean worth", value, target, 0, dots=True))
    return Plot("calibration: worth of the frames with this V", "V", lines, y_range=(low, high), x_range=(low, high))
