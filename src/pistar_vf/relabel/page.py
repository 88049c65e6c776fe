"""A judgement as the report: the gate with its evidence, measures, labels, the ranking, and episodes frame by frame."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.evaluation.page import measures_section
from pistar_vf.health import HealthReport
from pistar_vf.relabel.frame_labels import explain, labels_of
from pistar_vf.relabel.judgement import Judgement
from pistar_vf.relabel.measures import measure, support_of
from pistar_vf.relabel.report import MARKS, SHARE_HEAD, as_json, comment, share_cells, verdict
from pistar_vf.relabel.trajectories import HEAD, rank
from pistar_vf.relabel.verdict import Gate, Verdict
from pistar_vf.report import NUM_EPISODES
from pistar_vf.report.charts import Bars, Line, Plot
from pistar_vf.report.choose import Ranking, by_disagreement, choose, in_words
from pistar_vf.report.clips import episode_clips
from pistar_vf.report.content import Cell, Details, EpisodeLink, Kind, Mark, Page, Paragraph, Part, Section, Table
from pistar_vf.report.dataset import dataset_section
from pistar_vf.report.episodes import Episode, distribution_strip
from pistar_vf.report.page import write_page
from pistar_vf.report.training import runs_of, training_section
from pistar_vf.returns import Outcome
from pistar_vf.typing import Int

_KINDS: dict[Verdict, Kind] = {Verdict.PASSED: "good", Verdict.FAILED: "bad", Verdict.NOT_SHOWN: "doubt"}
_COLOURS: dict[Outcome, int | str] = {
    Outcome.SUCCESS: "good",
    Outcome.FAILURE: "bad",
    Outcome.TIMEOUT: "quiet",
    Outcome.FRAGMENT: 3,
}
_NUM_MOMENTS, _NUM_BARS, _NUM_TASKS = 50, 60, 12


def write_report(found: Judgement, folder: Path) -> Path:
    """Writes `report.html` and `report.json`.

    Args:
        found: the judgement.
        folder: made where it is missing; older reports in it are replaced.

    Returns:
        The HTML file.
    """
    page = create_page(found, None)  # takes a while: a report of before stays whole until it is there
    write_whole(folder / "report.json", as_json(found.gate, found.facts))
    return write_page(page, folder / "report.html")


def create_page(
    found: Judgement,
    health: HealthReport | None,
    positions: Sequence[int] | None = None,
    num_episodes: int = NUM_EPISODES,
) -> Page:
    """Everything that is known of a dataset and its values.

    Args:
        found: the judgement.
        health: of the dataset; None where nobody checked it.
        positions: of the episodes to show; None for those of `choose`.
        num_episodes: at most so many of these.
    """
    ranking = _ranking(found)
    chosen = choose(ranking, num_episodes) if positions is None else by_disagreement(ranking, positions)
    evaluation, support = measure(found), support_of(found)
    settings = json.dumps(found.facts, indent=2, ensure_ascii=False)
    nobody = Section("Measures", (Paragraph("No unseen episode is known to have succeeded or failed.", "doubt"),))
    return Page(
        title=found.dataset.name,
        verdict=Mark(verdict(found.gate), _KINDS[found.gate.verdict]),
        chosen=in_words(len(chosen), len(found.dataset.episodes), positions is not None),
        episodes=_episodes(found, ranking, chosen),
        sections=(
            _gate_section(found),
            nobody if evaluation is None else measures_section(evaluation, support.v_min, support.v_max),
            _labels_section(found),
            _ranking_section(found),
            training_section(runs_of([model.checkpoint for model in found.models])),
            dataset_section(found.dataset, health),
            Section("What made the labels", (Details("Settings", settings),)),
        ),
    )


def _ranking(found: Judgement) -> Ranking:
    return Ranking(
        disagreement=found.rollouts.layout.mean(np.abs(found.values.value - found.rollouts.target)),
        score=np.array([trajectory.mean_advantage for trajectory in found.trajectories]),
        unseen=~found.scorers.seen,
    )


def _episodes(found: Judgement, ranking: Ranking, positions: Int[np.ndarray, " n"]) -> tuple[Episode, ...]:
    layout, support, explained = found.rollouts.layout, support_of(found), explain(found)
    episodes = []
    for position in positions.tolist():
        own, about = slice(layout.starts[position], layout.ends[position]), found.trajectories[position]
        rows = np.arange(own.start, own.stop)
        episodes.append(
            Episode(
                index=about.episode_index,
                prompt=about.prompt,
                outcome=str(about.outcome or "outcome unknown"),
                note="not seen in training" if ranking.unseen[position] else "the model was trained on it",
                fps=found.dataset.fps,
                clips=episode_clips(found.dataset, found.dataset.episodes[position], len(positions)),
                intervention=found.rollouts.intervention[own],
                value=found.values.value[own],
                strip=distribution_strip(np.asarray(found.values.probs[rows])),
                value_range=(support.v_min, support.v_max),
                target=found.rollouts.target[own],
                labels=labels_of(found, explained, position),
                disagreement=float(ranking.disagreement[position]),
            )
        )
    return tuple(episodes)


def _gate_section(found: Judgement) -> Section:
    gate = found.gate
    rows = [(Mark(MARKS[c.verdict], _KINDS[c.verdict]), c.name, c.found, c.wanted, comment(c)) for c in gate.criteria]
    parts: list[Part] = [Table(("", "criterion", "found", "wanted", "what is wrong, or what to do"), tuple(rows))]
    parts += [Paragraph(note) for note in gate.notes]
    known = any(np.isfinite(auc) for _, auc in gate.auc)
    parts += [_values_plot(found), *([_auc_plot(gate)] if known else [])]
    findings = [
        f"{MARKS[finding.verdict]:>9}  {criterion.name}: {finding.where or 'all'}: {finding.figure}"
        for criterion in gate.criteria
        for finding in criterion.findings
    ]
    parts.append(Details("Every finding, by task and by model", "\n".join(findings)))
    return Section("Gate", tuple(parts))


def _values_plot(found: Judgement) -> Plot:
    """Mean and middle half of V over the episode, by outcome."""
    moments = np.linspace(0, 1, _NUM_MOMENTS)
    rows = np.stack([found.rollouts.layout.moment(moment) for moment in moments], axis=1)
    lines = []
    for outcome, colour in _COLOURS.items():
        own = found.values.value[rows[found.rollouts.outcome_is(outcome)]]
        if len(own):
            low, high = np.quantile(own, [0.25, 0.75], axis=0)
            lines.append(Line(f"{outcome} ({len(own)})", moments, own.mean(axis=0), colour, band=(low, high)))
    return Plot("V over the episode: mean, middle half", "part of the episode", tuple(lines))


def _auc_plot(gate: Gate) -> Plot:
    moments, auc = np.array(gate.auc).T
    chance = Line("chance", np.array([0.0, 1.0]), np.array([0.5, 0.5]), "quiet", dashed=True)
    title = "AUC of success against failure"
    return Plot(title, "part of the episode", (chance, Line("by V", moments, auc, 0, dots=True)), y_range=(0.0, 1.0))


def _labels_section(found: Judgement) -> Section:
    table = Table(SHARE_HEAD, tuple(share_cells(share) for share in found.gate.shares))
    plots, left_out = _histograms(found)
    more = (Paragraph(f"and {left_out} more tasks with fewer frames"),) if left_out else ()
    return Section("Labels", (table, *plots, *more))


def _histograms(found: Judgement) -> tuple[tuple[Plot, ...], int]:
    """Advantages of the policy's frames, those of the tasks with most of them, and how many tasks are left out."""
    cut, advantage, autonomous = found.cut, found.labels.advantage, found.rollouts.autonomous
    counts = np.bincount(cut.task[autonomous], minlength=len(cut.tasks))
    tasks = [int(task) for task in np.argsort(-counts, kind="stable") if counts[task]]
    plots = []
    for task in tasks[:_NUM_TASKS]:
        own = advantage[autonomous & (cut.task == task)]
        low, high = np.quantile(own, [0.001, 0.999])
        heights, edges = np.histogram(np.clip(own, low, high), _NUM_BARS, (low, high) if high > low else None)
        threshold = float(found.labels.thresholds[task])
        marks = ((f"threshold {threshold:+.4f}", threshold),) if np.isfinite(threshold) else ()
        bars = (Bars("frames of the policy", edges, heights.astype(float)),)
        plots.append(Plot(f"advantages: {cut.tasks[task]}", "advantage", (), bars, marks))
    return tuple(plots), max(0, len(tasks) - _NUM_TASKS)


def _ranking_section(found: Judgement) -> Section:
    """Every episode, best first."""
    rows: list[tuple[Cell, ...]] = [(EpisodeLink(t.episode_index), *t.cells()[1:]) for t in rank(found.trajectories)]
    return Section("Ranking of episodes", (Table(HEAD, tuple(rows)),))
