"""The stitched system at tiny size, from nothing, on two cores. Figures: docs/results.md.

    python benchmarks/stitched.py OUTPUT_DIR

1. Questions about generated pictures, learnt from scratch with nothing frozen.
2. That tower and language model frozen and a fresh projector: stage 1 alone.
3. The synthetic robot from there, with and without co-training: which of the two still answers?
"""

import argparse
from pathlib import Path

from pistar_vf.cli.stages import main as run_stages
from pistar_vf.cli.train import setup_logging
from pistar_vf.demo.folder import make_room
from pistar_vf.demo.stitched_demo import pretrain, recorded, stage_words, write_stitched_data

CO_TRAINING = {"with co-training": "0.5", "without": "0.0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pretraining_steps", type=int, default=3_000)
    parser.add_argument("--peak_lr", default="1e-3", help="of stage 2; the preset's 2e-3 learns more and keeps less")
    args = parser.parse_args()
    setup_logging()
    make_room(args.folder)
    data = write_stitched_data(args.folder, num_pictures=4_000, num_episodes=96)
    model = pretrain(data, args.folder / "pretrained", num_train_steps=args.pretraining_steps)
    words = ["--output_base", str(args.folder), *stage_words(data, model)]
    words += ["--stage2.num_train_steps", "800", "--stage2.peak_lr", args.peak_lr]
    run_stages(["--stage", "1", *words])
    projector = str(args.folder / "alignment" / "best_projector.safetensors")
    for name, weight in CO_TRAINING.items():
        base = args.folder / name.replace(" ", "_")
        own = ["--stage", "2", "--output_base", str(base), "--projector_path", projector, "--vqa_weight", weight]
        run_stages([*words, *own])
    _report(args.folder)


def _report(folder: Path) -> None:
    alignment = recorded(folder / "alignment", "answers_right")
    print(f"from scratch, nothing frozen: {recorded(folder / 'pretrained', 'answers_right')[-1]:.1%} right")
    print(f"a fresh projector, before and after stage 1: {alignment[0]:.1%}, {max(alignment):.1%}")
    for name in CO_TRAINING:
        run = folder / name.replace(" ", "_") / "robot_vf"
        right, mae = recorded(run, "answers_right")[-1], recorded(run, "mae")[-1]
        print(f"stage 2 {name}: {right:.1%} right, MAE {mae:.3f} on held-out episodes")


if __name__ == "__main__":
    main()
