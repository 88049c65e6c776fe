"""Stage 1 that was stopped and resumed is, bit for bit, the run that was not."""

import contextlib
import json
import re
import shutil

import numpy as np
import pytest

from pistar_vf.checkpoints.orbax_tree import read_arrays, tree_metadata
from pistar_vf.errors import ConfigError
from pistar_vf.params import flatten
from pistar_vf.recipes.alignment import run_alignment
from pistar_vf.recipes.config import AlignmentConfig
from pistar_vf.testing.vqa_dataset import create_shape_pictures, write_jsonl
from pistar_vf.training import engine

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage_1")
    questions = write_jsonl(folder / "vqa", create_shape_pictures(12, image_size=28))
    return AlignmentConfig.of(
        dataset_name=str(questions),
        checkpoint_dir=folder / "straight",
        siglip_variant="tiny/14",
        gemma_variant="gemma3_tiny",
        image_size=28,
        image_fit="stretch",
        max_token_len=40,
        val_fraction=0.25,
        freeze_mode="none",
        batch_size=4,
        num_train_steps=4,
        log_interval=2,
        val_interval=1,
        save_interval=2,
        max_to_keep=None,
        num_workers=0,
        wandb_mode="disabled",
    )


@pytest.fixture(scope="module")
def straight(settings):
    return run_alignment(settings).parent


def stored(path):
    return flatten(read_arrays(path, tree_metadata(path)))


def assert_same_results(one, other):
    for name in ("best_projector.safetensors", "tokenizer.model"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for part in ("model", "step_00000004", "train_state/step_00000004"):
        trees = stored(one / part), stored(other / part)
        assert trees[0].keys() == trees[1].keys()
        assert len(trees[0]) > 20 or part == "train_state"
        for name in trees[0]:
            np.testing.assert_array_equal(trees[1][name], trees[0][name], err_msg=f"{part} {name}")


def test_a_resumed_run_ends_with_the_same_bits(settings, straight, tmp_path):
    """Killed after step 2, which left what is due until then, and what it had found best by then."""
    folder = tmp_path / "run"
    config = settings.replace(checkpoint_dir=folder, num_train_steps=4)
    with stop_after(2), pytest.raises(engine.Stopped, match="stopped at step 2"):
        run_alignment(config)
    assert sorted(path.name for path in folder.glob("step_*")) == ["step_00000002"]
    assert (folder / "best_projector.safetensors").is_file()
    run_alignment(config.replace(resume_from_checkpoint="latest"))
    assert_same_results(straight, folder)
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    expected = [json.loads(line)["step"] for line in (straight / "metrics.jsonl").read_text().splitlines()]
    assert steps == expected  # the fresh projector is validated once


def test_the_two_halves_differ(straight):
    """Else equality above would say nothing."""
    early, late = stored(straight / "step_00000002"), stored(straight / "step_00000004")
    assert sum(not np.array_equal(early[name], late[name]) for name in early) > 0.8 * len(early)


@contextlib.contextmanager
def stop_after(step):
    @contextlib.contextmanager
    def requested():
        answers = iter([False] * (step - 1) + [True] * 99)
        yield lambda: next(answers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "stop_requested", requested)
        yield


def test_a_stop_between_two_saves_is_saved(settings, tmp_path):
    config = settings.replace(checkpoint_dir=tmp_path / "run")
    with stop_after(1), pytest.raises(engine.Stopped, match="stopped at step 1"):
        run_alignment(config)
    assert (tmp_path / "run" / "train_state" / "step_00000001" / "position.json").is_file()


def test_a_checkpoint_of_stage_1_does_not_pass_for_a_value_model(straight):
    assert not (straight / "step_00000004" / "value_spec.json").exists()
    assert (straight / "step_00000004" / "tokenizer.model").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"best_projector.safetensors exists already; pass another --checkpoint_dir, or move it away"),
        ({"resume_from_checkpoint": "latest"}, r"--num_train_steps 4: the checkpoint is at step 4 already"),
        (
            {"resume_from_checkpoint": "step_00000002", "seed": 7},
            r"− seed: 42\n\+ seed: 7",
        ),
        ({"resume_from_checkpoint": "latest", "batch_size": 8}, r"− batch_size: 4\n\+ batch_size: 8"),
    ],
)
def test_what_cannot_go_on(settings, straight, changes, message):
    with pytest.raises(ConfigError, match=message):
        run_alignment(settings.replace(**changes))


def test_checkpoints_in_the_way(settings, straight, tmp_path):
    """Of a run that was killed before its first validation."""
    shutil.copytree(straight / "step_00000002", tmp_path / "run" / "step_00000002")
    with pytest.raises(ConfigError, match=re.escape("already holds checkpoints (last: step_00000002)")):
        run_alignment(settings.replace(checkpoint_dir=tmp_path / "run"))
