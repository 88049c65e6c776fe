"""The stitched system at tiny size, from nothing, on two cores. Figures: docs/results.md.

    python benchmarks/stitched.py OUTPUT_DIR

1. Questions about generated pictures, learnt from scratch with nothing frozen.
2. That tower and language model frozen and a fresh projector: stage 1 alone.
3. The synthetic robot from there, with and without co-training: which of the two still answers?
"""

import argparse
from pathlib import Path

from recording import record

from pistar_vf.cli.stages import main as run_stages
from pistar_vf.cli.train import setup_logging
from pistar_vf.demo.folder import make_room
from pistar_vf.demo.stitched_demo import pretrain, recorded, stage_words, write_stitched_data
from pistar_vf.testing.vqa_dataset import create_shape_pictures

SIZES = {"pictures": 4_000, "episodes": 96, "stage_1_steps": 200, "stage_2_steps": 800}
CO_TRAINING = {"with co-training": "0.5", "without": "0.0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pretraining_steps", type=int, default=3_000)
    parser.add_argument("--peak_lr", default="1e-3", help="of stage 2; the preset's 2e-3 learns more and keeps less")
    parser.add_argument("--record", help="write the figures as results/<this name>.json")
    args = parser.parse_args()
    setup_logging()
    make_room(args.folder)
    data = write_stitched_data(args.folder, num_pictures=SIZES["pictures"], num_episodes=SIZES["episodes"])
    model = pretrain(data, args.folder / "pretrained", num_train_steps=args.pretraining_steps)
    words = ["--output_base", str(args.folder), *stage_words(data, model)]
    words += ["--stage2.num_train_steps", str(SIZES["stage_2_steps"]), "--stage2.peak_lr", args.peak_lr]
    words += ["--stage1.num_train_steps", str(SIZES["stage_1_steps"])]
    run_stages(["--stage", "1", *words])
    projector = str(args.folder / "alignment" / "best_projector.safetensors")
    for name, weight in CO_TRAINING.items():
        base = args.folder / name.replace(" ", "_")
        own = ["--stage", "2", "--output_base", str(base), "--projector_path", projector, "--vqa_weight", weight]
        run_stages([*words, *own])
    questions = sum(len(picture.turns) for picture in create_shape_pictures(SIZES["pictures"]))
    figures = {
        **SIZES,
        **_figures(args.folder),
        "questions": questions,
        "pretraining_steps": args.pretraining_steps,
        "peak_lr": args.peak_lr,
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    if args.record is not None:
        record(args.record, figures)


def _figures(folder: Path) -> dict[str, float]:
    """Shares of held-out questions answered right, and the error of V on held-out episodes."""
    alignment = recorded(folder / "alignment", "answers_right")
    figures = {
        "right_from_scratch": recorded(folder / "pretrained", "answers_right")[-1],
        "right_fresh_projector": alignment[0],
        "right_aligned": max(alignment),
    }
    for name in CO_TRAINING:
        run, key = folder / name.replace(" ", "_") / "robot_vf", name.replace(" ", "_").replace("-", "_")
        figures[f"right_{key}"] = recorded(run, "answers_right")[-1]
        figures[f"mae_{key}"] = recorded(run, "mae")[-1]
    return figures


if __name__ == "__main__":
    main()
