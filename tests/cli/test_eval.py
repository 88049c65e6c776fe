"""`pistar-vf eval` and the published script's flags."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT

from pistar_vf.cli.eval import main
from pistar_vf.cli.main import main as pistar_vf
from pistar_vf.cli.parsing import parse
from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.recipes.run import run_training
from pistar_vf.testing.tiny import tiny_train_config


def parsed(*words) -> EvalConfig:
    return parse(EvalConfig, words, "eval")


@pytest.mark.parametrize("flag", ["--checkpoint", "--checkpoint_dir"])
def test_two_names_for_the_checkpoint(flag):
    assert parsed(flag, "c") == EvalConfig.of(checkpoint=Path("c"))


def test_the_published_command():
    words = "--checkpoint ./outputs/robot_vf --parquet_dir d/data/chunk-000 --video_root d/videos --train_ratio 0.8"
    config = parsed(*f"{words} --val_ratio 0.1 --test_ratio 0.1 --split_seed 42 --frame_skip 1".split())
    assert (config.parquet_dir, config.video_root) == (Path("d/data/chunk-000"), Path("d/videos"))
    assert dataclasses.astuple(config.part.ratios) == (0.8, 0.1, 0.1)
    assert (config.split, config.split_seed, config.frame_skip) == ("test", 42, 1)


@pytest.mark.usefixtures("small_and_fast")
def test_a_command_line_from_end_to_end(trained_run, frame_cache_dir, tmp_path, capsys):
    output = tmp_path / "eval.json"
    words = ["--checkpoint", str(trained_run.checkpoint.parent), "--cache_dir", str(frame_cache_dir), "--num_workers"]
    assert pistar_vf(["eval", *words, "0", "--frame_skip", "10", "--output", str(output)]) == 0
    out = capsys.readouterr().out
    for word in (
        "loss (nats)",
        "top-5",
        "Spearman",
        "AUC, last quarter",
        "90 % coverage",
        "same-time concordance",
        "no intervals below 5 episodes",
        "clock",
        "trees",
    ):
        assert word in out, word
    assert out.rstrip().endswith(f"result: {output}")
    assert json.loads(output.read_text())["frame_skip"] == 10


@pytest.mark.usefixtures("small_and_fast")
def test_evaluation_finds_the_test_part_of_training(tiny_dataset, frame_cache_dir, tmp_path, capsys):
    ratios = {"train_ratio": 0.5, "val_ratio": 0.25, "test_ratio": 0.25}
    config = tiny_train_config(tiny_dataset, tmp_path / "run", cache_dir=frame_cache_dir, split_seed=3, **ratios)
    run_training(config)
    words = [word for name, value in {**ratios, "split_seed": 3}.items() for word in (f"--{name}", str(value))]
    folders = ["--parquet_dir", str(tiny_dataset / "data" / "chunk-000"), "--video_root", str(tiny_dataset / "videos")]
    output = ["--output", str(tmp_path / "eval.json"), "--cache_dir", str(frame_cache_dir), "--num_workers", "0"]
    assert pistar_vf(["eval", "--checkpoint", str(tmp_path / "run"), *folders, *words, *output]) == 0
    split, found = (json.loads((tmp_path / name).read_text()) for name in ("run/split.json", "eval.json"))
    assert [episode["episode_index"] for episode in found["episodes"]] == split["test_episodes"]
    assert (found["split"], found["num_trained_on"], found["num_baseline_episodes"]) == ("test", 0, 3)
    wrong = ["--train_ratio", "0.8", "--val_ratio", "0.1", "--test_ratio", "0.1"]
    assert pistar_vf(["eval", "--checkpoint", str(tmp_path / "run"), *wrong]) == 2
    assert "expected those of training, train 0.5, val 0.25, test 0.25, seed 3" in capsys.readouterr().err


def test_an_error_is_one_message(tmp_path, capsys):
    assert pistar_vf(["eval", "--checkpoint", str(tmp_path)]) == 2
    assert "expected a checkpoint (step_…) or a training directory" in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for flag in ("--checkpoint", "--checkpoint_dir", "--parquet_dir", "--video_root", "--split", "--frame_skip"):
        assert flag in out
    assert "beside three baselines" in " ".join(out.replace("│", " ").split())


@pytest.mark.parametrize("script", ["eval_test.py", "visualize_value_function.py"])
def test_the_published_scripts_exist(script):
    found = subprocess.run([sys.executable, ROOT / "scripts" / script, "--help"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "--parquet_dir" in found.stdout
