"""`scripts/train.py --demo`: the stitched system from nothing, on pictures of shapes and a synthetic robot."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pistar_vf.checkpoints.layout import MODEL_FOLDER
from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.demo.folder import make_room, write_scores
from pistar_vf.evaluation.config import EvalConfig, VisualizeConfig
from pistar_vf.evaluation.episode_scores import MEASURES
from pistar_vf.evaluation.report import MODEL
from pistar_vf.evaluation.run import run_eval
from pistar_vf.evaluation.visualize import run_visualize
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.questions.settings import VqaSettings
from pistar_vf.recipes.alignment import run_alignment
from pistar_vf.recipes.config import AlignmentConfig
from pistar_vf.recipes.language import vqa_texts
from pistar_vf.testing.demo_dataset import write_demo_dataset
from pistar_vf.testing.vqa_dataset import create_shape_pictures, write_cauldron
from pistar_vf.tokenizer import train_prompt_tokenizer

_RUNS = ("pretrained", "alignment", "robot_vf")
_PRETRAINING_SEED = 7
"""Not the seed of stage 1, which would draw the very projector that the towers grew up with."""


@dataclasses.dataclass(frozen=True)
class StitchedData:
    """What both stages need.

    Attributes:
        questions: pictures of shapes, in The Cauldron's layout.
        robot: a dataset with value labels.
        tokenizer: of the words of both.
    """

    questions: Path
    robot: Path
    tokenizer: Path


def write_stitched_data(folder: Path, *, num_pictures: int, num_episodes: int) -> StitchedData:
    """Draws the pictures, simulates and labels the robot, and trains a tokenizer; all below `folder`."""
    questions = write_cauldron(folder / "questions", create_shape_pictures(num_pictures))
    raw = load_lerobot(write_demo_dataset(folder / "dataset", num_episodes=num_episodes))
    outcomes = read_outcomes(raw, outcome_column="outcome")
    robot = write_labelled_copy(raw, folder / "labelled", outcomes, timeout_as="failure", progress=False)
    tokenizer = folder / "tokenizer.model"
    texts = (*vqa_texts(VqaSettings(data=str(questions))), *raw.prompts)
    tokenizer.write_bytes(train_prompt_tokenizer(texts).model)
    return StitchedData(questions, robot, tokenizer)


def pretrain(data: StitchedData, folder: Path, **changes: Any) -> Path:
    """A tiny tower and language model that answer questions, in the place of published weights.

    Args:
        data: the questions.
        folder: where the run goes.
        changes: settings of the run.

    Returns:
        The model, for `--pretrained_source checkpoint --pretrained_path`.
    """
    settings = {
        "dataset_name": str(data.questions),
        "checkpoint_dir": folder,
        "tokenizer_path": str(data.tokenizer),
        "freeze_mode": "none",
        "seed": _PRETRAINING_SEED,
        "siglip_variant": "tiny/14",
        "gemma_variant": "gemma3_tiny",
        "image_fit": "stretch",
        "max_token_len": 32,
        "num_train_steps": 900,
        "wandb_mode": "disabled",
    }
    run_alignment(AlignmentConfig.of(**{**settings, **changes}))
    return folder / MODEL_FOLDER


def stage_words(data: StitchedData, model: Path) -> list[str]:
    """The flags of `scripts/train.py` for this data at tiny size."""
    return [
        *("--preset", "tiny_stitched", "--siglip_variant", "tiny/14", "--gemma_variant", "gemma3_tiny"),
        *("--image_fit", "stretch", "--wandb_mode", "disabled", "--tokenizer_path", str(data.tokenizer)),
        *("--pretrained_source", "checkpoint", "--pretrained_path", str(model)),
        *("--dataset_name", str(data.questions), "--stage1.max_token_len", "32", "--stage1.num_train_steps", "200"),
        *("--stage1.val_interval", "100", "--stage1.peak_lr", "5e-3"),
        *("--data_dir", str(data.robot), "--stage2.max_token_len", "24", "--stage2.num_train_steps", "600"),
        *("--vqa_data", str(data.questions), "--vqa_weight", "0.5", "--stage2.val_interval", "300"),
        *("--train_ratio", "0.8", "--val_ratio", "0.1", "--test_ratio", "0.1"),
    ]


def recorded(run: Path, name: str) -> list[float]:
    """A figure of every validation of a run, first to last."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [record[name] for record in records if record["split"] == "val" and name in record]


def run_stitched_demo(
    folder: Path,
    run_stages: Callable[[list[str]], None],
    *,
    num_pictures: int = 4_000,
    num_episodes: int = 96,
    pretraining: dict | None = None,
    words: Sequence[str] = (),
) -> dict[str, float]:
    """Makes data, trains a stand-in for published weights, runs both stages, evaluates and draws.

    Args:
        folder: everything goes here; an earlier demo's results are replaced.
        run_stages: runs a command line of `scripts/train.py`.
        num_pictures: pictures of shapes.
        num_episodes: episodes of the robot.
        pretraining: settings of the first run to change.
        words: more flags of `scripts/train.py`.

    Returns:
        The scores of the printed table.

    Raises:
        ConfigError: the folder holds something that is not a demo's.
    """
    started = time.perf_counter()
    make_room(folder)
    data = write_stitched_data(folder, num_pictures=num_pictures, num_episodes=num_episodes)
    model = pretrain(data, folder / "pretrained", **(pretraining or {}))
    run_stages(["--stage", "both", "--output_base", str(folder), *stage_words(data, model), *words])
    pretrained, alignment, robot = (recorded(folder / run, "answers_right") for run in _RUNS)
    scores = {
        "answers_pretrained": pretrained[-1],
        "answers_fresh_projector": alignment[0],
        "answers_aligned": max(alignment),
        "answers_after_robot": robot[-1],
    }
    _print_answers(scores)
    evaluation = run_eval(EvalConfig.of(checkpoint=folder / "robot_vf", output=folder / "evaluation.json"))
    scores |= dict(zip(MEASURES, evaluation.scores[MODEL].figures()))
    curves = folder / "value_curves"
    report = run_visualize(VisualizeConfig.of(checkpoint=folder / "robot_vf", num_episodes=4, output_dir=curves))
    write_scores(folder, scores)
    print(f"demo finished in {time.perf_counter() - started:.0f} s; model: {folder / 'robot_vf'}")
    print(f"report: {report} (open it in a browser)")
    return scores


def _print_answers(scores: dict[str, float]) -> None:
    table = Table("model", "right answers", title="held-out questions about pictures")
    table.add_row("trained from scratch, nothing frozen", f"{scores['answers_pretrained']:.1%}")
    table.add_row("the same with a fresh projector", f"{scores['answers_fresh_projector']:.1%}")
    table.add_row("  after stage 1", f"{scores['answers_aligned']:.1%}")
    table.add_row("  after stage 2, trained on the robot and on questions", f"{scores['answers_after_robot']:.1%}")
    Console().print(table)
