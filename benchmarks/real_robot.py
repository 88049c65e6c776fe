#!/usr/bin/env python3
"""Test figures on a real robot dataset, beside the baselines of `pistar-vf eval`, for several 8 : 1 : 1 splits.

Labels a copy of the dataset (all successes), trains the tiny preset from scratch once per split, takes the checkpoint
with the lowest validation loss, and scores it on the test part. docs/results.md holds what it printed.

    python benchmarks/real_robot.py --data_dir ../shared/data/g1_bottle_v21 --output_dir outputs/real_robot
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from recording import record

from pistar_vf.cli.train import setup_logging
from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.episode_scores import MEASURES
from pistar_vf.evaluation.report import MODEL, Evaluation
from pistar_vf.evaluation.run import run_eval
from pistar_vf.labels.split import PARTS, SplitRatios, split_by_ratio
from pistar_vf.lerobot.dataset import Episode, load_lerobot
from pistar_vf.recipes.label import LabelConfig, run_label
from pistar_vf.recipes.presets import PRESETS
from pistar_vf.recipes.run import run_training

SHARES = (0.8, 0.1, 0.1)
_SHOWN = ("loss", "kl", "top1", "top5", "mae", "spearman", "ece")


@dataclasses.dataclass(frozen=True)
class Args:
    """Train and test a value model from scratch, once per split."""

    data_dir: str
    """Dataset of successful demonstrations."""
    output_dir: Path
    """Where the labelled copy, checkpoints and figures go."""
    split_seeds: tuple[int, ...] = (42, 0, 1, 2, 3)
    """One split and one training each."""
    preset: str = "tiny"
    """Of the training."""
    num_train_steps: int | None = None
    """Updates; default: the preset's."""
    apart: tuple[int, ...] = ()
    """Test episodes to summarise apart from the others, such as those that bottle_travel.py finds."""
    leave_out: tuple[int, ...] = ()
    """Episodes that neither train, nor validate, nor test."""
    record: str | None = None
    """Write the figures as results/<this name>.json."""


def main(args: Args) -> None:
    """Runs everything and prints a table over the splits."""
    setup_logging()
    labelled = args.output_dir / "labelled"
    if not labelled.exists():
        run_label(LabelConfig(data_dir=Path(args.data_dir), output_dir=labelled, outcome="success"))
    started = time.perf_counter()
    evaluations = {seed: train_and_test(args, labelled, seed) for seed in args.split_seeds}
    print(f"{len(evaluations)} trainings and evaluations took {time.perf_counter() - started:.0f} s")
    for seed, evaluation in evaluations.items():
        print_figures(f"split seed {seed}", {name: scores.figures() for name, scores in evaluation.scores.items()})
    names = next(iter(evaluations.values())).scores
    mean = {name: np.mean([e.scores[name].figures() for e in evaluations.values()], axis=0) for name in names}
    print_figures(f"mean over {len(evaluations)} splits", mean)
    print_episodes(evaluations)
    print_groups(args.apart, evaluations)
    if args.record is not None:
        record(args.record, {**figures_of(evaluations, args.output_dir), "groups": groups(args.apart, evaluations)})
    print(f"result: {args.output_dir}")


def train_and_test(args: Args, labelled: Path, seed: int) -> Evaluation:
    """One split: a training and the evaluation of its best checkpoint on the test part."""
    folder = args.output_dir / f"split_{seed}"
    changes = {} if args.num_train_steps is None else {"num_train_steps": args.num_train_steps}
    config = PRESETS[args.preset].replace(data_dir=str(labelled), checkpoint_dir=folder, **changes)
    if not args.leave_out:
        ratios = {f"{part}_ratio": share for part, share in zip(PARTS, SHARES)}
        run_training(config.replace(split_seed=seed, **ratios))
        return run_eval(EvalConfig.of(checkpoint=folder, output=folder / "evaluation.json"))
    kept = [episode for episode in load_lerobot(labelled).episodes if episode.index not in args.leave_out]
    # All are successes of one task: one stratum.
    train, val, test = split_by_ratio(kept, SplitRatios(*SHARES), seed, [("success", "")] * len(kept))
    run_training(config.replace(train_episodes=_numbers(train), val_episodes=_numbers(val)))
    everything = run_eval(EvalConfig.of(checkpoint=folder, split="all", output=folder / "evaluation.json"))
    return _only(everything, [episode.index for episode in test])


def _numbers(episodes: Sequence[Episode]) -> str:
    return ",".join(str(episode.index) for episode in episodes)


def _only(evaluation: Evaluation, wanted: list[int]) -> Evaluation:
    rows = [row for row, episode in enumerate(evaluation.episodes) if episode["episode_index"] in wanted]
    scores = {name: scores.take(np.array(rows)) for name, scores in evaluation.scores.items()}
    return dataclasses.replace(evaluation, episodes=[evaluation.episodes[row] for row in rows], scores=scores)


def print_figures(title: str, figures: dict[str, np.ndarray]) -> None:
    """A row per model or baseline, in the order of `_SHOWN`."""
    print(f"\n{title}\n{'':10s}" + _headings())
    for name, values in figures.items():
        print(f"{name:10s}" + _row(values))


def print_episodes(evaluations: dict[int, Evaluation]) -> None:
    """The model on every test episode by itself."""
    print(f"\nmodel, by test episode\n{'split':>10s}{'episode':>10s}{'frames':>10s}" + _headings())
    for seed, evaluation in evaluations.items():
        for position, episode in enumerate(evaluation.episodes):
            scores = evaluation.scores[MODEL].take(np.array([position]))
            print(f"{seed:10d}{episode['episode_index']:10d}{scores.num_frames.sum():10d}" + _row(scores.figures()))


def print_groups(apart: tuple[int, ...], evaluations: dict[int, Evaluation]) -> None:
    """Mean over the test episodes in `apart`, and over the others; one that several splits test counts as often."""
    print("\nmodel, mean over test episodes" + _headings())
    for name, own in groups(apart, evaluations).items():
        print(f"{name:>10s} ({own['episodes']:3d} episodes)    " + "".join(f"{own[name]:10.4f}" for name in _SHOWN))


def groups(apart: tuple[int, ...], evaluations: dict[int, Evaluation]) -> dict[str, dict[str, float]]:
    """Number and mean figures of the test episodes in `apart`, and of the others."""
    rows: dict[str, list[np.ndarray]] = {"apart": [], "others": []}
    for evaluation in evaluations.values():
        for position, episode in enumerate(evaluation.episodes):
            scores = evaluation.scores[MODEL].take(np.array([position]))
            rows["apart" if episode["episode_index"] in apart else "others"].append(scores.figures())
    return {name: {"episodes": len(own), **_named(np.mean(own, axis=0))} for name, own in rows.items() if own}


def figures_of(evaluations: dict[int, Evaluation], output_dir: Path) -> dict[str, Any]:
    """Every split and their mean, model and baselines, for a record."""
    splits = {
        str(seed): {
            "parts": {**_sizes(output_dir / f"split_{seed}"), "test": len(evaluation.episodes)},
            "best_step": int(next((output_dir / f"split_{seed}" / "best").glob("step_*")).name.removeprefix("step_")),
            "test": ", ".join(str(episode["episode_index"]) for episode in evaluation.episodes),
            **{name: _named(scores.figures()) for name, scores in evaluation.scores.items()},
        }
        for seed, evaluation in evaluations.items()
    }
    names = next(iter(evaluations.values())).scores
    mean = {n: _named(np.mean([e.scores[n].figures() for e in evaluations.values()], axis=0)) for n in names}
    return {"num_splits": len(splits), "splits": splits, "mean": mean}


def _sizes(run: Path) -> dict[str, int]:
    """Number of episodes that train and that validate."""
    split = json.loads((run / "split.json").read_text(encoding="utf-8"))
    return {part: len(split[f"{part}_episodes"]) for part in ("train", "val")}


def _named(figures: np.ndarray) -> dict[str, float]:
    return dict(zip(MEASURES, figures.tolist()))


def _headings() -> str:
    return "".join(f"{name:>10s}" for name in _SHOWN)


def _row(figures: np.ndarray) -> str:
    chosen = dict(zip(MEASURES, figures))
    return "".join(f"{chosen[measure]:10.4f}" for measure in _SHOWN)


if __name__ == "__main__":
    main(tyro.cli(Args, use_underscores=True))
