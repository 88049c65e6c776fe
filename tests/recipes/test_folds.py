"""Folds as one command: every episode held out once, stopped and taken up again, scored out of fold."""

import json
import logging
import shutil

import numpy as np
import pytest

from pistar_vf.checkpoints.folds import FoldPlan, fold_checkpoints
from pistar_vf.checkpoints.layout import find_checkpoint
from pistar_vf.checkpoints.provenance import recorded_parts, seen_episodes
from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.cli.main import main as pistar_vf
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.run import run_eval
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes import folds
from pistar_vf.recipes.folds import chosen_folds, prepare_folds, run_folds
from pistar_vf.relabel.models import load_scoring_models
from pistar_vf.testing.tiny import tiny_train_config

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def config(tiny_dataset, frame_cache_dir, tmp_path_factory):
    return tiny_train_config(
        tiny_dataset,
        tmp_path_factory.mktemp("folds") / "run",
        cache_dir=frame_cache_dir,
        val_interval=2,
        folds=2,
    )


@pytest.fixture(scope="module")
def folder(config):
    """Two folds; the second was killed before its last checkpoint, and the command given again."""
    for fold in (0, 1):
        run_folds(config.replace(fold=fold))
    # Not a shorter run, whose schedule would make another program to compile.
    last = config.run.checkpoint_dir / "fold_1" / "step_00000004"
    for left in (last, last.parent / "train_state" / last.name):
        shutil.rmtree(left)
    started = []
    with pytest.MonkeyPatch.context() as patch:
        own = folds.run_training
        patch.setattr(folds, "run_training", lambda c: started.append((c.fold, c.resume_from_checkpoint)) or own(c))
        run_folds(config)
    assert started == [(1, "latest")]
    return config.run.checkpoint_dir


def test_every_episode_is_held_out_once(folder, tiny_dataset):
    dataset = load_lerobot(tiny_dataset)
    everyone = {episode.index for episode in dataset.episodes}
    checkpoints = fold_checkpoints(folder)
    assert [path.relative_to(folder).as_posix() for path in checkpoints] == [
        "fold_0/step_00000004",
        "fold_1/step_00000004",
    ]
    parts = [recorded_parts(load_value_spec(path).trained_on, dataset) for path in checkpoints]
    assert all(set(part["train"]) == everyone - set(part["val"]) for part in parts)
    assert sorted([*parts[0]["val"], *parts[1]["val"]]) == sorted(everyone)


def test_finished_folds_are_left_alone(folder, config, caplog, monkeypatch):
    monkeypatch.setattr(folds, "run_training", lambda _: pytest.fail("nothing is left to train"))
    with caplog.at_level(logging.INFO):
        assert run_folds(config) == folder
    assert "folds 0, 1 of 2: finished already" in caplog.text


def test_relabelling_takes_the_folder_as_one_path(folder, tiny_dataset):
    dataset = load_lerobot(tiny_dataset)
    models = load_scoring_models([folder], dataset)
    assert len(models) == 2
    for model in models:
        assert model.episodes.isdisjoint(seen_episodes(model.predictor.spec.trained_on, dataset))
    assert set().union(*(model.episodes for model in models)) == {episode.index for episode in dataset.episodes}


def test_a_folder_may_stand_beside_a_single_model(folder, tiny_dataset, trained_run):
    models = load_scoring_models([folder, trained_run.checkpoint], load_lerobot(tiny_dataset), ensemble=True)
    assert [model.checkpoint for model in models] == [*fold_checkpoints(folder), trained_run.checkpoint]


def test_evaluation_is_out_of_fold(folder, config, tiny_dataset, tmp_path, capsys):
    """Every episode has the figures that its own fold gives it when asked for its held-out part."""
    base = EvalConfig.of(checkpoint=folder, cache_dir=config.cache_dir, num_workers=0, frame_skip=5)
    path = tmp_path / "eval.json"
    found = run_eval(base.replace(output=path), progress=False)
    indices = [about["episode_index"] for about in found.episodes]
    assert indices == [episode.index for episode in load_lerobot(tiny_dataset).episodes]
    assert not any(about["trained_on"] for about in found.episodes)
    facts = json.loads(path.read_text())
    assert (facts["split"], facts["num_folds"], facts["num_trained_on"]) == ("out of fold", 2, 0)
    assert "out of fold: 6 episodes" in " ".join(capsys.readouterr().out.split())
    for checkpoint in fold_checkpoints(folder):
        own = run_eval(base.replace(checkpoint=checkpoint, split="val"), progress=False)
        for name in ("model", "clock"):
            for position, about in enumerate(own.episodes):
                both = indices.index(about["episode_index"])
                np.testing.assert_allclose(
                    own.scores[name].mean_value[position], found.scores[name].mean_value[both], atol=1e-6
                )
    with pytest.raises(ConfigError, match="expected no --split and no ratios with folds"):
        run_eval(base.replace(split="train"), progress=False)


def test_a_folder_of_folds_is_no_single_model(folder):
    with pytest.raises(CheckpointError, match=r"expected one model, got folds; name one of them, such as .*fold_0"):
        find_checkpoint(folder)


def test_an_unfinished_fold_is_named(config, tmp_path):
    FoldPlan(("d",), 2, 0, 400).write(tmp_path)
    message = r"fold_0: expected the checkpoint step_00000400 of fold 0 of 2, it has none; give the training command"
    with pytest.raises(CheckpointError, match=message):
        fold_checkpoints(tmp_path)
    (tmp_path / "fold_0" / "step_00000100").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="its last is step_00000100"):
        fold_checkpoints(tmp_path)
    assert fold_checkpoints(tmp_path / "fold_0") == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "--folds 1: expected at least 2"),
        ({"val_episodes": "0"}, "--val_episodes: expected no --folds with it"),
        ({"train_ratio": 1.0}, "--train_ratio: expected no --folds with it"),
        ({"resume_from_checkpoint": "latest"}, "--resume_from_checkpoint: expected no --folds with it; folds go on"),
    ],
)
def test_flags_that_contradict_folds(config, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        prepare_folds(config.replace(**{"checkpoint_dir": tmp_path / "new", **changes}))
    assert not (tmp_path / "new").exists()


def test_other_folds_in_the_folder(folder, config):
    with pytest.raises(ConfigError, match=r"folds.json: expected the folds that are there \(--folds 2 .*got --folds 3"):
        prepare_folds(config.replace(folds=3))
    with pytest.raises(ConfigError, match=r"fold_0: expected a folder for folds, it holds checkpoints"):
        prepare_folds(config.replace(checkpoint_dir=folder / "fold_0"))


def test_a_plan_of_which_nothing_was_trained_is_replaced(config, tmp_path):
    prepare_folds(config.replace(checkpoint_dir=tmp_path, folds=50))
    plan = prepare_folds(config.replace(checkpoint_dir=tmp_path, folds=5))
    assert FoldPlan.read(tmp_path) == plan
    assert plan.num_folds == 5
    (tmp_path / "fold_4" / "step_00000001").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"expected the folds that are there \(--folds 5 "):
        prepare_folds(config.replace(checkpoint_dir=tmp_path, folds=3))


def test_a_fold_that_is_none_of_them(config):
    with pytest.raises(ConfigError, match="--fold 2: expected 0 to 1, as --folds 2 says"):
        chosen_folds(config.replace(fold=2))


def test_the_command(tiny_dataset, monkeypatch, capsys, tmp_path):
    """Without several devices, the folds run here."""
    asked = []
    monkeypatch.setattr(folds, "run_folds", lambda c: asked.append((c.folds, c.fold)) or tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    words = [
        "train",
        "--preset",
        "tiny",
        "--data_dir",
        str(tiny_dataset),
        "--checkpoint_dir",
        str(tmp_path),
        "--folds",
        "3",
    ]
    assert pistar_vf(words) == pistar_vf([*words, "--fold", "1"]) == 0
    assert asked == [(3, None), (3, 1)]
    assert capsys.readouterr().out.count(f"result: {tmp_path}") == 2
