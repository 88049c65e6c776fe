"""The stitched system at tiny size, from nothing, on two cores. Figures: docs/results.md.

    python benchmarks/stitched.py OUTPUT_DIR

1. Questions about generated pictures, learnt from scratch with nothing frozen.
2. That tower and language model frozen and a fresh projector: stage 1 alone.
3. The synthetic robot from there, with and without co-training: which of the two still answers?
"""

import argparse
import dataclasses
import json
from pathlib import Path

from pistar_vf.cli.train import setup_logging
from pistar_vf.data.labelled_copy import write_labelled_copy
from pistar_vf.data.lerobot import load_lerobot
from pistar_vf.data.outcomes import read_outcomes
from pistar_vf.data.tokenizer import train_prompt_tokenizer
from pistar_vf.presets import PRESETS
from pistar_vf.testing.demo_dataset import write_demo_dataset
from pistar_vf.testing.vqa_dataset import create_shape_pictures, write_cauldron
from pistar_vf.training.alignment import MODEL_FOLDER, run_alignment
from pistar_vf.training.alignment_config import AlignmentConfig
from pistar_vf.training.language import VqaSettings, vqa_texts
from pistar_vf.training.run import run_training


def write_data(folder: Path, num_pictures: int, num_episodes: int) -> tuple[Path, Path, Path]:
    """(questions, labelled robot dataset, a tokenizer of both)."""
    questions = write_cauldron(folder / "questions", create_shape_pictures(num_pictures))
    raw = load_lerobot(write_demo_dataset(folder / "raw", num_episodes=num_episodes))
    outcomes = read_outcomes(raw, outcome_column="outcome")
    robot = write_labelled_copy(raw, folder / "robot", outcomes, timeout_as="failure", progress=False)
    tokenizer = folder / "tokenizer.model"
    tokenizer.write_bytes(train_prompt_tokenizer((*vqa_texts(VqaSettings(data=str(questions))), *raw.prompts)).model)
    return questions, robot, tokenizer


def alignment_config(questions: Path, tokenizer: Path, folder: Path, **changes) -> AlignmentConfig:
    settings = {
        "dataset_name": str(questions),
        "checkpoint_dir": folder,
        "tokenizer_path": str(tokenizer),
        "siglip_variant": "tiny/14",
        "gemma_variant": "gemma3_tiny",
        "image_fit": "stretch",
        "max_token_len": 32,
        "wandb_mode": "disabled",
    }
    return AlignmentConfig(**{**settings, **changes})


def last(folder: Path, name: str, split: str = "val") -> float:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return next(record[name] for record in reversed(records) if record["split"] == split and name in record)


def first(folder: Path, name: str) -> float:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return next(record[name] for record in records if record["split"] == "val")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True)
    setup_logging()
    questions, robot, tokenizer = write_data(folder, num_pictures=4_000, num_episodes=96)
    whole, stage1 = folder / "whole", folder / "stage1"
    run_alignment(
        alignment_config(questions, tokenizer, whole, freeze_mode="none", num_train_steps=2_000, val_interval=500)
    )
    towers = {"pretrained_source": "checkpoint", "pretrained_path": (whole / MODEL_FOLDER,)}
    projector = run_alignment(
        alignment_config(questions, tokenizer, stage1, num_train_steps=400, peak_lr=5e-3, val_interval=100, **towers)
    )
    print(f"from scratch, nothing frozen: {last(whole, 'answers_right'):.1%} of held-out questions right")
    print(
        f"fresh projector, before and after stage 1: {first(stage1, 'answers_right'):.1%}, "
        f"{last(stage1, 'answers_right'):.1%}"
    )
    for name, weight in (("with co-training", 0.5), ("without", 0.0)):
        config = dataclasses.replace(
            PRESETS["tiny_stitched"],
            data_dir=str(robot),
            checkpoint_dir=folder / name.replace(" ", "_"),
            tokenizer_path=str(tokenizer),
            projector_path=projector,
            max_token_len=24,
            num_train_steps=800,
            val_fraction=0.2,
            val_interval=400,
            vqa_data=str(questions),
            vqa_weight=weight,
            cache_dir=folder / "cache",
            **towers,
        )
        run_training(config)
        run = Path(config.checkpoint_dir)
        print(
            f"stage 2 {name}: {last(run, 'answers_right'):.1%} of held-out questions right, MAE {last(run, 'mae'):.3f}"
        )


if __name__ == "__main__":
    main()
