#!/usr/bin/env python3
"""Held-out figures on a real robot dataset, beside two baselines, from one command.

Labels a copy of the dataset (`--outcome success`), trains the tiny preset from scratch, and compares V on the
held-out episodes with boosted trees on the state alone and with the clock. docs/results.md holds what it printed.

    python benchmarks/real_robot.py --data_dir ../shared/data/g1_bottle_v21 --val_episodes 26-31
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

from pistar_vf.checkpoints.inference import load_value_model
from pistar_vf.cli.label import LabelArgs
from pistar_vf.cli.label import run as run_label
from pistar_vf.cli.train import setup_logging
from pistar_vf.data.labels import read_value_labels
from pistar_vf.data.lerobot import load_lerobot
from pistar_vf.data.open_table import read_state
from pistar_vf.data.split import select_episodes
from pistar_vf.evaluation.baselines import clock_baseline, state_tree_baseline
from pistar_vf.evaluation.held_out import HeldOut, open_table_for, predict_episodes
from pistar_vf.presets import PRESETS
from pistar_vf.training.metrics import episode_spearman
from pistar_vf.training.run import run_training


@dataclasses.dataclass(frozen=True)
class Args:
    """Compare a value model trained from scratch with baselines on held-out episodes."""

    data_dir: str
    """Dataset of successful demonstrations."""
    val_episodes: str
    """Episodes to hold out, such as 26-31."""
    num_train_steps: int = PRESETS["tiny"].num_train_steps
    """Updates."""
    seed: int = 42
    """Of the whole run."""
    output: Path | None = None
    """Where to write the figures as JSON."""


def main(args: Args) -> None:
    """Runs everything in a temporary folder and prints one table."""
    setup_logging()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        labelled = run_label(
            LabelArgs(data_dir=Path(args.data_dir), output_dir=Path(folder) / "labelled", outcome="success")
        )
        config = dataclasses.replace(
            PRESETS["tiny"],
            data_dir=str(labelled),
            checkpoint_dir=Path(folder) / "checkpoints",
            val_episodes=args.val_episodes,
            num_train_steps=args.num_train_steps,
            seed=args.seed,
        )
        # The step is fixed beforehand and the last checkpoint is taken: choosing one by the held-out episodes
        # and then reporting on them would flatter the model.
        checkpoint = run_training(config)
        train_seconds = time.perf_counter() - started
        rows = compare(checkpoint, labelled)
    print(f"{'':34s} {'MAE':>7s} {'Spearman':>9s}")
    for name, scores in rows.items():
        print(f"{name:34s} {scores['mae']:7.4f} {scores['spearman']:9.4f}")
    print(f"labelling, decoding and training took {train_seconds:.0f} s")
    if args.output is not None:
        args.output.write_text(json.dumps({"seconds": train_seconds, **rows}, indent=2), encoding="utf-8")
        print(f"result: {args.output}")


def compare(checkpoint: Path, data_dir: Path) -> dict[str, dict[str, float]]:
    """MAE and mean per-episode Spearman of the model and of the baselines on the checkpoint's held-out episodes."""
    dataset = load_lerobot(data_dir)
    predictor = load_value_model(checkpoint)
    facts = predictor.spec.dataset
    train = select_episodes(dataset.episodes, facts["train_episodes"], "train_episodes")
    held_out = select_episodes(dataset.episodes, facts["val_episodes"], "val_episodes")
    labels = read_value_labels(dataset)
    table = open_table_for(predictor, dataset, labels)
    model = predict_episodes(predictor, table, held_out)
    key = predictor.spec.state.key
    train_target = np.concatenate([labels[e.start : e.start + e.length] for e in train])
    trees = state_tree_baseline(read_state(dataset, key, train), train_target, read_state(dataset, key, held_out))
    return {
        "value model (tiny, from scratch)": _scores(model, model.value),
        "boosted trees on the state": _scores(model, trees),
        "clock (frame index / mean length)": _scores(model, clock_baseline(train, held_out)),
    }


def _scores(held_out: HeldOut, value: np.ndarray) -> dict[str, float]:
    return {
        "mae": float(np.abs(value - held_out.target).mean()),
        "spearman": episode_spearman(value, held_out.target, held_out.number),
    }


if __name__ == "__main__":
    main(tyro.cli(Args, use_underscores=True))
