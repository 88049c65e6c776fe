"""`pistar-vf train --demo`: the whole pipeline on a synthetic robot, without data, weights or an accelerator."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pistar_vf.demo.folder import make_room, write_scores
from pistar_vf.drawing.curves import Curve, draw_curves
from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.episode_scores import MEASURES
from pistar_vf.evaluation.report import MODEL
from pistar_vf.evaluation.run import run_eval
from pistar_vf.inference.predict import FramePredictor, frame_source
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.labels.split import select_episodes
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import Episode, load_lerobot
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.metrics import late_values
from pistar_vf.overview.config import ReportConfig
from pistar_vf.overview.run import run_report
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.label import LabelConfig, run_label
from pistar_vf.recipes.presets import demo_settings
from pistar_vf.recipes.run import run_training
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.report import verdict
from pistar_vf.relabel.run import run_relabel
from pistar_vf.testing.demo_dataset import swap_prompt, write_demo_dataset
from pistar_vf.testing.positive_shares import PositiveShares
from pistar_vf.testing.progress_agreement import ProgressAgreement

_SCORES = {
    "mae": ("mae", "frame by frame |V - label|"),
    "spearman": ("spearman", "Spearman within a success (mean)"),
    "concordance": ("concordance", "same-time concordance"),
    "auc": ("auc_last_quarter", "AUC success vs failure, last quarter"),
}
"""Figures that the clock has too, which knows task and frame index alone: their names in demo.json and in words."""
_SWAPPED = "V, prompt names the other bin"
_BATCH_SIZE = 64
_GAIN_FRAMES = 10
"""Over how many frames progress is compared, and how many before a takeover and a failure's end are counted: 1 s."""


def run_demo(folder: Path, num_episodes: int = 192, **overrides: Any) -> dict[str, float]:
    """Makes, labels, trains, evaluates, draws and relabels.

    Args:
        folder: everything goes here; an earlier demo's results are replaced.
        num_episodes: size of the synthetic dataset.
        overrides: training settings to change.

    Returns:
        The scores of the printed tables.

    Raises:
        ConfigError: the folder holds something that is not a demo's.
    """
    started = time.perf_counter()
    make_room(folder)
    dataset_dir = write_demo_dataset(folder / "dataset", num_episodes=num_episodes)
    labelled = run_label(
        LabelConfig(
            data_dir=dataset_dir,
            output_dir=folder / "labelled",
            outcome_column="outcome",
            timeout_as="failure",
        )
    )
    config = demo_config(labelled, folder / "checkpoints", **overrides)
    # The last checkpoint, not the best one: that was chosen by the episodes it would be scored on.
    checkpoint = run_training(config)
    scores, picture = evaluate_demo(config, checkpoint)
    scores |= relabel_demo(config, checkpoint, folder)
    report = run_report(
        ReportConfig.of(
            data_dir=config.data_dir,
            run=checkpoint,
            output=folder / "report" / "report.html",
            cache_dir=config.cache_dir,
            num_workers=config.num_workers,
        )
    )
    write_scores(folder, scores)
    print(f"demo finished in {time.perf_counter() - started:.0f} s; model: {config.checkpoint_dir}")
    print(f"value curves: {picture}")
    print(f"report: {report} (open it in a browser)")
    return scores


def demo_config(data_dir: Path, checkpoint_dir: Path, **overrides: Any) -> TrainConfig:
    """The demo's settings on the synthetic dataset."""
    return demo_settings().replace(**{"data_dir": str(data_dir), "checkpoint_dir": checkpoint_dir, **overrides})


def evaluate_demo(config: TrainConfig, checkpoint: Path) -> tuple[dict[str, float], Path]:
    """Scores the held-out episodes, again under the prompt of the other bin, and draws one of each kind."""
    evaluation = run_eval(
        EvalConfig.of(
            checkpoint=checkpoint,
            data_dir=config.data_dir,
            split="val",
            cache_dir=config.cache_dir,
            num_workers=config.num_workers,
        )
    )
    own = evaluation.scores[MODEL]
    figures, clock = (dict(zip(MEASURES, evaluation.scores[name].figures())) for name in (MODEL, "clock"))
    views = _two_prompts(config, checkpoint, [about["episode_index"] for about in evaluation.episodes])
    ends = [late_values(view.swapped, np.array([len(view.swapped)]))[0] for view in views]
    scores = {
        **{_SCORES[name][0]: float(figures[name]) for name in _SCORES},
        **{f"clock_{_SCORES[name][0]}": float(clock[name]) for name in _SCORES},
        "late_value": _mean(own.late_value[own.succeeded]),
        "late_value_swapped": _mean(np.array(ends)[own.succeeded]),
    }
    _print_table(scores, own.succeeded)
    return scores, _draw(views, own.succeeded, Path(config.checkpoint_dir).parent)


@dataclasses.dataclass(frozen=True)
class _TwoPrompts:
    """One episode: V of every frame under its prompt and under the one that names the other bin."""

    episode: Episode
    value: np.ndarray
    swapped: np.ndarray
    label: np.ndarray
    pictures: np.ndarray


def _two_prompts(config: TrainConfig, checkpoint: Path, indices: Sequence[int]) -> list[_TwoPrompts]:
    predictor, dataset = load_value_model(checkpoint), load_lerobot(config.data_dir)
    labels, episodes = read_value_labels(dataset), select_episodes(dataset.episodes, indices, "held-out episodes")
    swapped = dataclasses.replace(dataset, tasks={i: swap_prompt(text) for i, text in dataset.tasks.items()})
    source, other = (frame_source(predictor, d, cache_dir=config.cache_dir) for d in (dataset, swapped))
    table, rows = source.table(episodes), EpisodeRows(episodes)
    frame_predictor = FramePredictor(predictor, _BATCH_SIZE)
    values = [frame_predictor.metrics(t, rows.all())["value"] for t in (table, other.table(episodes))]
    camera = table.cameras[min(table.cameras)]
    assert camera is not None, "the demo's robot has all of its cameras"
    spans = [slice(episode.start, episode.start + episode.length) for episode in episodes]
    return [
        _TwoPrompts(episode, value, under_other, labels[span], camera[span])
        for episode, span, value, under_other in zip(episodes, spans, *map(rows.layout.split, values))
    ]


def relabel_demo(config: TrainConfig, checkpoint: Path, folder: Path) -> dict[str, float]:
    """Labels the dataset by default settings, whatever the gate says, and compares with what the simulator knows."""
    result = run_relabel(
        RelabelConfig.of(
            data_dir=config.data_dir,
            checkpoint_dir=(checkpoint,),
            output_dir=folder / "relabelled",
            report_dir=folder / "report",
            cache_dir=config.cache_dir,
            force=True,
        )
    )
    dataset = load_lerobot(folder / "relabelled")
    positive, operator = dataset.read_column("adv_ind") == "positive", dataset.read_column("intervention") == 1
    lengths = np.array([episode.length for episode in dataset.episodes])
    agreement = ProgressAgreement.measure(dataset.read_column("progress"), lengths, ~operator, positive, _GAIN_FRAMES)
    failed = np.array([episode.metadata["outcome"] != "success" for episode in dataset.episodes])
    shares = PositiveShares.measure(positive, operator, lengths, failed, _GAIN_FRAMES)
    table = Table("frames in which the policy acted", "progress", title="labels against the simulator")
    table.add_row(f"gain over {_GAIN_FRAMES} frames, positive", f"{agreement.gain_positive:+.3f}")
    table.add_row(f"gain over {_GAIN_FRAMES} frames, negative", f"{agreement.gain_negative:+.3f}")
    table.add_row("losses of 5 % or more that are not positive", f"{agreement.losses_not_positive:.1%}")
    table.add_section()
    table.add_row("positive", f"{shares.positive:.1%}")
    table.add_row(f"positive, {_GAIN_FRAMES} frames before a takeover", f"{shares.positive_before_takeovers:.1%}")
    table.add_row(f"positive, last {_GAIN_FRAMES} frames of failures", f"{shares.positive_ends_of_failures:.1%}")
    Console().print(table)
    print(verdict(result.gate))
    return {**dataclasses.asdict(agreement), **dataclasses.asdict(shares), "gate_passed": float(result.gate.passed)}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _print_table(scores: dict[str, float], succeeded: np.ndarray) -> None:
    rows = [(words, f"{scores[key]:.3f}", f"{scores[f'clock_{key}']:.3f}") for key, words in _SCORES.values()]
    rows.append(("V at the end of a success", f"{scores['late_value']:.3f}", ""))
    rows.append(("  same pictures, prompt names the other bin", f"{scores['late_value_swapped']:.3f}", ""))
    successes = int(succeeded.sum())
    title = f"held-out episodes: {successes} successes, {len(succeeded) - successes} failures and time-outs"
    table = Table("measure", "model", "clock", title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _draw(views: Sequence[_TwoPrompts], succeeded: np.ndarray, folder: Path) -> Path:
    """One success and one failure, the first of each among the held-out episodes."""
    curves = []
    for kind, wanted in (("success", True), ("failure", False)):
        found = [view for view, is_success in zip(views, succeeded) if is_success == wanted]
        if found:
            view = found[0]
            outcome = view.episode.metadata.get("outcome", kind)
            title = f"{outcome}: “{view.episode.tasks[0]}” (episode {view.episode.index}, held out)"
            curves.append(Curve(title, view.value, view.label, view.pictures, (_SWAPPED, view.swapped)))
    return draw_curves(curves, folder / "value_curves.png")
