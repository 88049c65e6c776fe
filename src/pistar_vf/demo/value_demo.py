"""`pistar-vf train --demo`: the whole pipeline on a synthetic robot, without data, weights or an accelerator."""

import dataclasses
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from pistar_vf.checkpoints.provenance import recorded_parts
from pistar_vf.demo.folder import make_room, write_scores
from pistar_vf.drawing.curves import draw_curves
from pistar_vf.evaluation.held_out import HeldOut, curve_of, open_table_for, predict_episodes, with_prompts
from pistar_vf.frames.loader import FrameTable
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.labels.split import select_episodes
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.label import LabelConfig, run_label
from pistar_vf.recipes.presets import PRESETS
from pistar_vf.recipes.run import run_training
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import run_relabel
from pistar_vf.testing.demo_dataset import swap_prompt, write_demo_dataset
from pistar_vf.testing.progress_agreement import ProgressAgreement

_SWAPPED = "V, prompt names the other bin"
_LOOKAHEAD = 10
"""One second; episodes have 26 to 64 frames."""


def run_demo(folder: Path, num_episodes: int = 192, **overrides) -> dict[str, float]:
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
    write_scores(folder, scores)
    print(f"demo finished in {time.perf_counter() - started:.0f} s; model: {config.checkpoint_dir}")
    print(f"result: {picture}")
    return scores


def demo_config(data_dir: Path, checkpoint_dir: Path, **overrides) -> TrainConfig:
    """The `tiny` preset on the synthetic dataset, with a fifth of the episodes held out."""
    settings = {
        "data_dir": str(data_dir),
        "checkpoint_dir": checkpoint_dir,
        "val_fraction": 0.2,
        "num_train_steps": 2_400,
        "val_interval": 200,
    }
    return dataclasses.replace(PRESETS["tiny"], **{**settings, **overrides})


def evaluate_demo(config: TrainConfig, checkpoint: Path) -> tuple[dict[str, float], Path]:
    """Prints the table of held-out scores and draws the curves of one episode of each kind."""
    dataset = load_lerobot(config.data_dir)
    predictor = load_value_model(checkpoint)
    table = open_table_for(predictor, dataset, read_value_labels(dataset), config.cache_dir)
    held_out = recorded_parts(predictor.spec.trained_on, dataset)["val"]
    episodes = select_episodes(dataset.episodes, held_out, "val_episodes")
    own = predict_episodes(predictor, table, episodes)
    swapped_table = with_prompts(table, predictor, [swap_prompt(prompt) for prompt in dataset.prompts])
    swapped = predict_episodes(predictor, swapped_table, episodes)
    scores = {**own.scores(), **_prompt_effect(own, swapped)}
    _print_table(scores, own)
    return scores, _draw(table, own, swapped, Path(config.checkpoint_dir).parent)


def relabel_demo(config: TrainConfig, checkpoint: Path, folder: Path) -> dict[str, float]:
    """Labels the dataset with the model, whatever the gate says, and compares with what the simulator knows."""
    result = run_relabel(
        RelabelConfig(
            data_dir=config.data_dir,
            checkpoint_dir=(checkpoint,),
            output_dir=folder / "relabelled",
            report_dir=folder / "report",
            cache_dir=config.cache_dir,
            lookahead=_LOOKAHEAD,
            force=True,
        )
    )
    dataset = load_lerobot(folder / "relabelled")
    positive = dataset.read_column("adv_ind") == "positive"
    agreement = ProgressAgreement.measure(
        dataset.read_column("progress"),
        np.array([episode.length for episode in dataset.episodes]),
        dataset.read_column("intervention") == 0,
        positive,
        _LOOKAHEAD,
    )
    table = Table("frames in which the policy acted", "progress", title="labels against the simulator")
    table.add_row(f"gain over {_LOOKAHEAD} frames, positive", f"{agreement.gain_positive:+.3f}")
    table.add_row(f"gain over {_LOOKAHEAD} frames, negative", f"{agreement.gain_negative:+.3f}")
    table.add_row("losses of 5 % or more that are not positive", f"{agreement.losses_not_positive:.1%}")
    Console().print(table)
    return {**dataclasses.asdict(agreement), "gate_passed": float(result.gate.passed)}


def _late(held_out: HeldOut, successes: bool) -> np.ndarray:
    """Frames in the last quarter of the successes, or of the failures."""
    chosen = np.zeros(len(held_out.rows), bool)
    for i, (episode, succeeded) in enumerate(zip(held_out.episodes, held_out.succeeded())):
        if succeeded == successes:
            chosen[np.flatnonzero(held_out.number == i)[-(episode.length // 4) :]] = True
    return chosen


def _prompt_effect(own: HeldOut, swapped: HeldOut) -> dict[str, float]:
    """Mean V over the successes' last quarters under the right prompt and under the one that names the other bin."""
    late = _late(own, successes=True)
    return {"late_value": float(own.value[late].mean()), "late_value_swapped": float(swapped.value[late].mean())}


def _print_table(scores: dict[str, float], own: HeldOut) -> None:
    successes = int(own.succeeded().sum())
    rows = {
        "frame by frame |V - label|": f"{scores['mae']:.3f}",
        "Spearman within a success (mean)": f"{scores['spearman']:.3f}",
        "AUC success vs failure, last quarter": f"{scores['auc_last_quarter']:.3f}",
        "V at the end of a success": f"{scores['late_value']:.3f}",
        "  same pictures, prompt names the other bin": f"{scores['late_value_swapped']:.3f}",
    }
    title = f"held-out episodes: {successes} successes, {len(own.episodes) - successes} failures and time-outs"
    table = Table("measure", "score", title=title)
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)


def _draw(table: FrameTable, own: HeldOut, swapped: HeldOut, folder: Path) -> Path:
    """One success and one failure, the first of each among the held-out episodes."""
    succeeded = own.succeeded()
    camera = next(iter(sorted(table.cameras)))
    curves = []
    for kind, wanted in (("success", True), ("failure", False)):
        found = [episode for episode, is_success in zip(own.episodes, succeeded) if is_success == wanted]
        if found:
            episode = found[0]
            outcome = episode.metadata.get("outcome", kind)
            title = f"{outcome}: “{episode.tasks[0]}” (episode {episode.index}, held out)"
            curves.append(curve_of(title, own, episode, table.cameras[camera], swapped, _SWAPPED))
    return draw_curves(curves, folder / "value_curves.png")
