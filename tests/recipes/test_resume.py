"""A run that was stopped and resumed is, bit for bit, the run that was not."""

import json
import logging
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from support.small_runs import recording

from pistar_vf.checkpoints.layout import find_checkpoint
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.params import flatten
from pistar_vf.recipes import run
from pistar_vf.recipes.position import check_position, position_of
from pistar_vf.training import engine

pytestmark = pytest.mark.usefixtures("small_and_fast")


def stored(path):
    return flatten(ocp.PyTreeCheckpointer().restore(str(path)))


def stopped_after_two_steps(trained_run, folder):
    """What a run that was killed in its third step leaves behind."""
    shutil.copytree(trained_run.checkpoint.parent, folder)
    shutil.rmtree(folder / "step_00000004")
    shutil.rmtree(folder / "train_state" / "step_00000004")
    return trained_run.config.replace(checkpoint_dir=folder, resume_from_checkpoint="latest")


@pytest.fixture(scope="module")
def resumed(trained_run, tmp_path_factory):
    """(the resumed run's last checkpoint, its rows); the run had a best state of step 9, and an unbeatable loss."""
    folder = tmp_path_factory.mktemp("resumed") / "run"
    config = stopped_after_two_steps(trained_run, folder)
    (best,) = (folder / "best").glob("step_*")
    best.rename(folder / "best" / "step_00000009")
    position = folder / "train_state" / "step_00000002" / "position.json"
    position.write_text(json.dumps({**json.loads(position.read_text()), "best_loss": 0.0}))
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "train_loop", recording(engine.train_loop, rows))
        return run.run_training(config), rows


def test_a_resumed_run_sees_the_batches_it_would_have_seen(trained_run, resumed):
    assert len(trained_run.rows) == 4
    np.testing.assert_array_equal(np.stack(resumed[1]), np.stack(trained_run.rows[2:]))


@pytest.mark.parametrize("part", ["", "train_state"])
def test_a_resumed_run_ends_with_the_same_bits(trained_run, resumed, part):
    """Parameters, averages and step; then the optimiser's state."""
    straight = stored(trained_run.checkpoint.parent / part / "step_00000004")
    again = stored(resumed[0].parent / part / "step_00000004")
    assert straight.keys() == again.keys()
    assert len(straight) > 20
    for name in straight:
        np.testing.assert_array_equal(np.asarray(again[name]), np.asarray(straight[name]), err_msg=name)


def test_a_best_state_of_the_replaced_history_is_gone(resumed):
    """It was of a later step than the run went on from; the best one of this history is in its place."""
    assert find_checkpoint(resumed[0].parent) == resumed[0].parent / "best" / "step_00000004"
    assert [path.name for path in (resumed[0].parent / "best").glob("step_*")] == ["step_00000004"]


def test_training_moved_everything_between_the_two_checkpoints(trained_run):
    """Else equality above would say nothing."""
    root = trained_run.checkpoint.parent
    for part in ("", "train_state"):
        early, late = stored(root / part / "step_00000002"), stored(root / part / "step_00000004")
        moved = [name for name in early if not np.array_equal(early[name], late[name])]
        assert len(moved) > 0.8 * len(early)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 7}, r"− seed: 42\n\+ seed: 7"),
        ({"batch_size": 8}, r"− batch_size: 4\n\+ batch_size: 8"),
        ({"freeze_mode": "siglip_only"}, r"− freeze_mode: none\n\+ freeze_mode: siglip_only"),
        ({"train_episodes": "0-2"}, r"− train_episodes: None\n\+ train_episodes: 0-2"),
    ],
)
def test_a_resume_under_other_settings_is_refused(trained_run, changes, message):
    config = trained_run.config.replace(resume_from_checkpoint="latest", num_train_steps=8, **changes)
    with pytest.raises((ConfigError, CheckpointError), match=message):
        run.run_training(config)


def position_now(trained_run):
    """What a checkpoint of an older version held."""
    return position_of(
        trained_run.config, run.prepare_data(trained_run.config.replace(resume_from_checkpoint="latest"))
    )


def test_episodes_are_compared_not_only_counted(trained_run):
    saved = position_now(trained_run)
    with pytest.raises(ConfigError, match=r"train_episodes was \[9\]"):
        check_position({**saved, "train_episodes": [9]}, saved)


def test_checkpoints_from_before_target_rules_go_on(trained_run):
    """Their positions, key by key as they were then, trained on the labels as they are and knew no time-outs."""
    now = position_now(trained_run)
    keys = ("seed", "batch_size", "num_train_steps", "freeze_mode", "frozen_dtype", "num_train_frames")
    saved = {name: now[name] for name in (*keys, "train_episodes")}
    check_position(saved, now)
    with pytest.raises(ConfigError, match="target was dataset when the checkpoint was saved and is paper now"):
        check_position(saved, {**now, "target": "paper"})


def test_a_longer_run_of_an_older_version_only_warns(trained_run, caplog):
    saved = position_now(trained_run)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        check_position(saved, {**saved, "num_train_steps": 8})
    assert caplog.messages == ["num_train_steps was 4 and is now 8: the learning-rate schedule changes"]


def test_a_checkpoint_of_an_older_version_is_trained_further(trained_run, tmp_path, caplog):
    """Without settings.json, its position key by key as it was then: the same bits as the run that was not stopped."""
    config = stopped_after_two_steps(trained_run, tmp_path / "old")
    for path in (tmp_path / "old").rglob("settings.json"):
        path.unlink()
    position = tmp_path / "old" / "train_state" / "step_00000002" / "position.json"
    kept = json.loads(position.read_text())
    position.write_text(json.dumps({**position_now(trained_run), "step": 2, "best_loss": kept["best_loss"]}))
    again = stored(run.run_training(config))
    assert "no settings.json, as in checkpoints of older versions" in caplog.text
    for name, leaf in stored(trained_run.checkpoint).items():
        np.testing.assert_array_equal(np.asarray(again[name]), np.asarray(leaf), err_msg=name)


def test_a_finished_run_has_nothing_to_go_on_with(trained_run):
    config = trained_run.config.replace(resume_from_checkpoint="latest")
    settings = (trained_run.checkpoint.parent / "settings.json").read_text()
    with pytest.raises(ConfigError, match=r"--num_train_steps 4: the checkpoint is at step 4 already"):
        run.run_training(config)
    assert (trained_run.checkpoint.parent / "settings.json").read_text() == settings


def test_an_unknown_checkpoint_is_refused_with_those_there_are(trained_run):
    config = trained_run.config.replace(resume_from_checkpoint="step_00000003")
    with pytest.raises(CheckpointError, match=r"step_00000003: .* holds step_00000002, step_00000004"):
        run.run_training(config)


def test_latest_without_any_checkpoint_is_refused(trained_run, tmp_path):
    config = trained_run.config.replace(checkpoint_dir=tmp_path, resume_from_checkpoint="latest")
    with pytest.raises(CheckpointError, match=r"--resume_from_checkpoint latest: .* holds no checkpoints"):
        run.run_training(config)


def test_resuming_from_an_earlier_step_replaces_the_later_checkpoints(trained_run, tmp_path):
    shutil.copytree(trained_run.checkpoint.parent, tmp_path / "run")
    changed = tmp_path / "run" / "step_00000004" / "value_spec.json"
    changed.write_text("an older history")
    config = trained_run.config.replace(checkpoint_dir=tmp_path / "run", resume_from_checkpoint="step_00000002")
    path = run.run_training(config)
    assert path == tmp_path / "run" / "step_00000004"
    assert changed.read_text() != "an older history"
    assert jax.tree.leaves(ocp.PyTreeCheckpointer().restore(str(path))["step"]) == [4]
