"""Settings arrive where they are used, and every flag is set by some test."""

import json
import re
from pathlib import Path

import pytest
from support.places import TESTS

from pistar_vf.cli.curves import CurvesArgs
from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import TrainCommand, parse_config
from pistar_vf.errors import CheckpointError, ConfigError, DatasetError
from pistar_vf.evaluation.config import EvalConfig, VisualizeConfig
from pistar_vf.models.lora import LoraConfig
from pistar_vf.questions.settings import VqaSettings
from pistar_vf.recipes.config import AlignmentConfig
from pistar_vf.recipes.preflight import check_flags
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import run_relabel

TRAIN = ["--data_dir", "d", "--checkpoint_dir", "c"]


def test_adapters():
    model = parse_config([*TRAIN, "--lora_rank", "4", "--lora_alpha", "2", "--lora_dropout", "0.1"]).model
    assert model.lora == LoraConfig(4, 2.0, 0.1, model.lora_targets)


def test_questions():
    words = ["--vqa_data", "q.json", "--vqa_subset", "vqav2", "--vqa_image_dir", "p", "--vqa_template", "gemma-chat"]
    found = parse_config([*TRAIN, *words]).questions.vqa
    assert (found.data, found.subset, found.image_dir, found.template) == ("q.json", "vqav2", Path("p"), "gemma-chat")
    assert isinstance(found, VqaSettings)


@pytest.mark.parametrize("words", [["--vqa_ratio", "0"], ["--vqa_weight", "-1"]])
def test_shares_of_questions_that_cannot_be(words):
    with pytest.raises(ConfigError, match="expected a ratio above 0 and a weight of 0 or more"):
        check_flags(parse_config([*TRAIN, "--vqa_data", "q.json", *words])).refuse()


def test_runs_of_curves():
    assert parse(CurvesArgs, ["a", "b"], "curves", bare="runs") == parse(CurvesArgs, ["--runs", "a", "b"], "curves")


def test_a_checkpoint_by_name(tiny_dataset, tmp_path):
    config = RelabelConfig.of(data_dir=str(tiny_dataset), checkpoint_dir=(tmp_path,), checkpoint_name="step_00000007")
    with pytest.raises(CheckpointError, match="step_00000007"):
        run_relabel(config, progress=False)


@pytest.mark.usefixtures("small_and_fast")
def test_prompts_by_column(tiny_dataset, trained_run):
    own = {"data_dir": str(tiny_dataset), "checkpoint_dir": (trained_run.checkpoint,), "dry_run": True}
    with pytest.raises(DatasetError, match="no column 'no_such_column'"):
        run_relabel(RelabelConfig.of(**own, instruction_col="no_such_column"), progress=False)


def test_every_flag_is_set_by_a_test():
    recorded = json.loads((TESTS / "cli" / "recorded_flags.json").read_text(encoding="utf-8"))
    flags = {name for of_command in recorded.values() for name in of_command}
    for kind in (TrainCommand, AlignmentConfig, RelabelConfig, EvalConfig, VisualizeConfig):
        flags |= set(kind.names())
    texts = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py"))
    set_somewhere = re.compile(r"--(?:no[_-])?(\w+)|\b(\w+)=|[\"'](\w+)[\"']\s*[:,\])]")
    used = {name for match in set_somewhere.finditer(texts) for name in match.groups() if name}
    assert flags - used == set(), "no test sets these flags: test them, or delete them"
