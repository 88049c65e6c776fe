"""Stage 1, and stage 2 from its projector."""

import json
import re

import jax
import numpy as np
import pytest

from pistar_vf.checkpoints.orbax_tree import read_arrays, tree_metadata
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.params import flatten
from pistar_vf.recipes import alignment, run
from pistar_vf.recipes.alignment import run_alignment
from pistar_vf.recipes.config import AlignmentConfig
from pistar_vf.testing.tiny import tiny_train_config
from pistar_vf.testing.vqa_dataset import create_shape_pictures, write_jsonl
from pistar_vf.training.copies import Copy
from pistar_vf.weights.projector import load_projector
from pistar_vf.weights.sources import SafetensorsSource

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return write_jsonl(tmp_path_factory.mktemp("vqa"), create_shape_pictures(12, image_size=28))


def settings(questions, folder, **changes):
    fields = {
        "dataset_name": str(questions),
        "checkpoint_dir": folder,
        "siglip_variant": "tiny/14",
        "gemma_variant": "gemma3_tiny",
        "image_size": 28,
        "image_fit": "stretch",
        "max_token_len": 40,
        "val_fraction": 0.25,
        "batch_size": 4,
        "num_train_steps": 4,
        "log_interval": 2,
        "val_interval": 2,
        "num_workers": 0,
        "wandb_mode": "disabled",
    }
    return AlignmentConfig.of(**{**fields, **changes})


@pytest.fixture(scope="module")
def whole(questions, tmp_path_factory):
    """Everything trained, to align to."""
    folder = tmp_path_factory.mktemp("whole")
    run_alignment(settings(questions, folder, freeze_mode="none"))
    return folder


@pytest.fixture(scope="module")
def aligned(questions, whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligned")
    config = settings(
        questions,
        folder,
        pretrained_source="checkpoint",
        pretrained_path=(whole / "model",),
        tokenizer_path=str(whole / "tokenizer.model"),
    )
    return run_alignment(config)


def leaves(path):
    source = SafetensorsSource(path)
    return dict(zip(source.leaves, source.read(list(source.leaves)), strict=True))


def test_it_leaves_a_projector_a_tokenizer_and_metrics(aligned):
    assert aligned.name == "best_projector.safetensors"
    assert aligned.with_suffix(".pt").is_file()
    assert (aligned.parent / "curves.png").is_file()
    assert all(name.startswith("img_projection/") for name in leaves(aligned))
    assert (aligned.parent / "tokenizer.model").stat().st_size > 0
    assert not (aligned.parent / "model").exists()
    records = [json.loads(line) for line in (aligned.parent / "metrics.jsonl").read_text().splitlines()]
    assert [(r["step"], r["split"]) for r in records] == [
        (0, "val"),
        (2, "train"),
        (2, "val"),
        (4, "train"),
        (4, "val"),
    ]
    assert {"language_loss", "answers_right"} <= set(records[0])


def test_a_projector_starts_fresh_and_is_trained(aligned, whole):
    model = leaves(whole / "best_projector.safetensors")
    own = leaves(aligned)
    assert own.keys() == model.keys()
    assert all(np.abs(own[name] - model[name]).max() > 0 for name in own if name.endswith("kernel"))


def test_the_whole_model_holds_what_was_validated(whole):
    tree = flatten(read_arrays(whole / "model", tree_metadata(whole / "model")))
    for name, leaf in leaves(whole / "best_projector.safetensors").items():
        np.testing.assert_array_equal(tree[f"ema_params/{name}"], leaf)


def test_an_existing_result_is_not_overwritten(questions, aligned):
    with pytest.raises(ConfigError, match=re.escape(f"{aligned} exists already")):
        run_alignment(settings(questions, aligned.parent, allow_random_towers=True))


def test_questions_must_be_held_out(questions, tmp_path):
    with pytest.raises(ConfigError, match=r"--val_fraction 0.0: expected held-out questions"):
        run_alignment(settings(questions, tmp_path / "out", val_fraction=0.0, allow_random_towers=True))


def robot(aligned, tiny_dataset, frame_cache_dir, folder, **changes):
    return tiny_train_config(
        tiny_dataset,
        folder,
        cache_dir=frame_cache_dir,
        architecture="stitched",
        projector_path=aligned,
        tokenizer_path=str(aligned.parent / "tokenizer.model"),
        max_token_len=40,
        **changes,
    )


def test_stage_2_starts_from_the_projector(aligned, tiny_dataset, frame_cache_dir, tmp_path):
    torchs, folder = aligned.with_suffix(".pt"), tmp_path / "run"
    config = robot(torchs, tiny_dataset, frame_cache_dir, folder, num_train_steps=1, peak_lr=0.0, decay_lr=0.0)
    checkpoint = run.run_training(config)
    tree = flatten(read_arrays(checkpoint, tree_metadata(checkpoint)))
    for name, leaf in leaves(aligned).items():
        np.testing.assert_allclose(tree[f"params/{name}"], leaf, rtol=1e-6)


def test_co_training_logs_both_losses_and_resumes_exactly(aligned, questions, tiny_dataset, frame_cache_dir, tmp_path):
    changes = {"vqa_data": str(questions), "vqa_max_token_len": 40, "vqa_val_fraction": 0.25, "val_interval": 2}
    config = robot(aligned, tiny_dataset, frame_cache_dir, tmp_path / "whole", **changes)
    expected = run.run_training(config)
    records = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    train, val = ([r for r in records if r["split"] == split][-1] for split in ("train", "val"))
    assert train["loss"] == pytest.approx(train["value_loss"] + 0.1 * train["language_loss"], rel=1e-5)
    assert {"loss", "language_loss", "answers_right"} <= set(val)
    half = config.replace(checkpoint_dir=tmp_path / "half", num_train_steps=4)
    stop_after(half, 2)
    found = run.run_training(half.replace(resume_from_checkpoint="step_00000002"))
    for key in ("params", "ema_params"):
        trees = [
            flatten(read_arrays(path, tree_metadata(path)))[f"{key}/value_head/kernel"] for path in (expected, found)
        ]
        np.testing.assert_array_equal(*trees)


def stop_after(config, step):
    """Runs to the end and keeps the checkpoint of one step only."""
    last = run.run_training(config)
    import shutil

    shutil.rmtree(last)
    shutil.rmtree(config.checkpoint_dir / "train_state" / last.name)


def test_a_projector_of_another_model_is_refused(aligned):
    wanted = {"img_projection/kernel": jax.ShapeDtypeStruct((16, 32), np.float32)}
    with pytest.raises(
        CheckpointError, match=r"not the projector of this model:\n  − img_projection/kernel \(16, 32\)"
    ):
        load_projector(aligned, wanted)
    with pytest.raises(CheckpointError, match=r"stage 1 .* writes best_projector"):
        load_projector(aligned.with_name("missing"), wanted)


def test_questions_are_asked_as_the_language_model_was_tuned_to_hear_them():
    assert AlignmentConfig.of().vqa.template == "gemma-chat"
    assert AlignmentConfig.of(gemma_variant="gemma3_tiny").vqa.template == "plain"
    assert AlignmentConfig.of(template="plain").vqa.template == "plain"


def test_a_kill_while_the_model_is_replaced_leaves_a_whole_one(tmp_path, monkeypatch):
    """Killed at the first deletion, and so before anything is gone."""
    folder = tmp_path / "model"
    writer = alignment._BestProjector(tmp_path, whole_model=True)
    monkeypatch.setattr(alignment, "write_projector", lambda path, tree: None)
    monkeypatch.setattr(alignment, "write_tree", lambda path, tree: (path.mkdir(), (path / str(tree["step"])).touch()))

    def kill(path, ignore_errors):
        if path.exists():
            raise KeyboardInterrupt

    def best(step):
        return Copy(step, {}, {}, None)

    writer.write(best(1))
    with monkeypatch.context() as patch:
        patch.setattr(alignment.shutil, "rmtree", kill)
        with pytest.raises(KeyboardInterrupt):
            writer.write(best(2))
    assert [path.name for path in folder.iterdir()] == ["2"]
    writer.write(best(3))
    assert [path.name for path in folder.iterdir()] == ["3"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
