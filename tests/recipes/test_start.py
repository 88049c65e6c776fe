"""Frozen towers need weights: refused before data is opened, allowed for smoke tests, and never forgotten."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.errors import ConfigError
from pistar_vf.recipes import alignment, run
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.start import check_start, random_towers
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import run_relabel

BOTH = ("vision tower", "language model")


def settings(**changes):
    return TrainConfig.of(data_dir="d", checkpoint_dir=Path("c"), **changes)


@pytest.mark.parametrize(
    ("freeze_mode", "towers"),
    [
        ("none", ()),
        ("siglip_only", BOTH[:1]),
        ("all_backbones", BOTH),
        ("all_but_projector", BOTH),
        ("all_but_head", BOTH),
    ],
)
def test_what_is_frozen_at_random(freeze_mode, towers):
    assert random_towers(settings(freeze_mode=freeze_mode)) == towers
    assert random_towers(settings(freeze_mode=freeze_mode, load_pretrained=True)) == ()
    assert random_towers(AlignmentConfig.of(freeze_mode=freeze_mode, pretrained_source="huggingface")) == ()


@pytest.mark.parametrize(
    ("freeze_mode", "words"),
    [
        ("siglip_only", "weights for the vision tower, which is frozen, got random ones"),
        ("all_backbones", "weights for the vision tower and the language model, which are frozen"),
    ],
)
def test_the_refusal_names_three_ways_to_weights(freeze_mode, words):
    with pytest.raises(ConfigError, match=words) as error:
        check_start(settings(freeze_mode=freeze_mode))
    text = str(error.value)
    for way in ("bundle", "huggingface", "checkpoint"):
        assert f"--pretrained_source {way}" in text
    assert "--load_pretrained" in text
    assert "--allow_random_towers" in text


@pytest.mark.parametrize("name", ["latest", "step_00000004"])
def test_of_a_checkpoint_that_is_not_there_no_tower_is_called_random(tmp_path, name):
    """The check of the folder says what is wrong; weights would not mend it."""
    config = settings(freeze_mode="all_backbones", resume_from_checkpoint=name).replace(checkpoint_dir=tmp_path)
    assert random_towers(config) == ()


@pytest.mark.parametrize("recipe", ["train", "align"])
def test_both_recipes_refuse_before_anything_is_opened(recipe, tmp_path):
    nowhere, folder = str(tmp_path / "nowhere"), tmp_path / "run"
    start, config = {
        "train": (run.run_training, TrainConfig.of(data_dir=nowhere, checkpoint_dir=folder)),
        "align": (alignment.run_alignment, AlignmentConfig.of(dataset_name=nowhere, checkpoint_dir=folder)),
    }[recipe]
    with pytest.raises(ConfigError, match="expected weights for the vision tower and the language model"):
        start(config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_and_fast")
def test_a_smoke_test_says_what_it_is_and_relabelling_refuses_it(trained_run, tiny_dataset, tmp_path, caplog):
    smoke = trained_run.config.replace(
        checkpoint_dir=tmp_path / "run", freeze_mode="all_backbones", allow_random_towers=True, num_train_steps=2
    )
    with caplog.at_level(logging.WARNING):
        checkpoint = run.run_training(smoke)
    said = "the vision tower and the language model are frozen at random values"
    assert sum(said in message for message in caplog.messages) == 2  # at the start, and at the save
    assert json.loads((checkpoint / "value_spec.json").read_text())["random_towers"] == list(BOTH)
    assert load_value_spec(trained_run.checkpoint).random_towers == ()

    # It is not forgotten when the run goes on, nor when another starts from it.
    longer = smoke.replace(num_train_steps=3, resume_from_checkpoint="latest", allow_random_towers=False)
    with pytest.raises(ConfigError, match="expected weights for the vision tower"):
        run.run_training(longer)
    assert load_value_spec(run.run_training(longer.replace(allow_random_towers=True))).random_towers == BOTH
    warm = settings(pretrained_source="checkpoint", pretrained_path=(tmp_path / "run",))
    assert random_towers(warm.replace(freeze_mode="siglip_only")) == BOTH[:1]
    assert random_towers(warm.replace(freeze_mode="none")) == ()

    relabelling = RelabelConfig.of(
        data_dir=str(tiny_dataset),
        checkpoint_dir=(checkpoint,),
        report_dir=tmp_path / "report",
        cache_dir=trained_run.config.cache_dir,
        num_workers=0,
        dry_run=True,
    )
    with pytest.raises(ConfigError, match=r"whose vision tower and the language model stayed random .*--force"):
        run_relabel(relabelling, progress=False)
    assert np.isfinite(run_relabel(relabelling.replace(force=True), progress=False).labels.advantage).all()
