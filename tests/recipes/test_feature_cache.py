"""A run on cached features of the frozen tower. Oracle: the same run on the pictures."""

import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from pistar_vf.errors import ConfigError
from pistar_vf.frames import feature_cache
from pistar_vf.params import flatten
from pistar_vf.recipes.config import AlignmentConfig
from pistar_vf.recipes.preflight import check_flags
from pistar_vf.recipes.run import run_training
from pistar_vf.testing.tiny import tiny_train_config

pytestmark = pytest.mark.usefixtures("small_and_fast")


def settings(data, folder, cache, **changes):
    own = {
        "freeze_mode": "siglip_only",
        "augment": False,
        "val_interval": 2,
        "cache_dir": cache,
        "allow_random_towers": True,
    }
    return tiny_train_config(data, folder, **{**own, **changes})


def losses(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records]


def test_the_same_run_from_features_as_from_pictures(tiny_dataset, frame_cache_dir, tmp_path, monkeypatch):
    run_training(settings(tiny_dataset, tmp_path / "pictures", frame_cache_dir))
    run_training(settings(tiny_dataset, tmp_path / "features", frame_cache_dir, cache_features=True))
    np.testing.assert_allclose(losses(tmp_path / "features"), losses(tmp_path / "pictures"), rtol=1e-4)
    # A second run finds them: no picture passes the tower again.
    monkeypatch.setattr(feature_cache, "_build", lambda *args: pytest.fail("computed again"))
    run_training(settings(tiny_dataset, tmp_path / "again", frame_cache_dir, cache_features=True))
    assert losses(tmp_path / "again") == losses(tmp_path / "features")


def test_the_same_run_of_the_head_from_what_it_reads(tiny_dataset, frame_cache_dir, tmp_path, monkeypatch):
    """Oracle: the run that takes every picture through the whole model in every step."""
    own = {"freeze_mode": "all_but_head"}
    run_training(settings(tiny_dataset, tmp_path / "pictures", frame_cache_dir, **own))
    run_training(settings(tiny_dataset, tmp_path / "hidden", frame_cache_dir, **own, cache_features=True))
    np.testing.assert_allclose(losses(tmp_path / "hidden"), losses(tmp_path / "pictures"), rtol=1e-5)
    before, after = (flatten(params_of(tmp_path / "hidden", step)) for step in (2, 4))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("value_head/")}
    validated = [json.loads(line) for line in (tmp_path / "hidden" / "metrics.jsonl").read_text().splitlines()]
    assert not any("mae_images_shuffled" in record for record in validated)
    monkeypatch.setattr(feature_cache, "_build", lambda *args: pytest.fail("computed again"))
    again = settings(tiny_dataset, tmp_path / "again", frame_cache_dir, **own, cache_features=True)
    run_training(again.replace(peak_lr=1e-2))
    assert losses(tmp_path / "again") != losses(tmp_path / "hidden")


def params_of(folder, step):
    return ocp.PyTreeCheckpointer().restore(str(folder / f"step_{step:08d}"))["params"]


def test_features_go_on_after_a_resume(tiny_dataset, frame_cache_dir, tmp_path):
    whole = settings(tiny_dataset, tmp_path / "whole", frame_cache_dir, cache_features=True)
    run_training(whole)
    part = tmp_path / "part"
    shutil.copytree(whole.run.checkpoint_dir, part)
    for parent in (part, part / "train_state"):
        shutil.rmtree(parent / "step_00000004")
    run_training(whole.replace(checkpoint_dir=part, resume_from_checkpoint="latest"))
    first, second = (
        ocp.PyTreeCheckpointer().restore(str(each / "step_00000004")) for each in (tmp_path / "whole", part)
    )
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_mode": "none"}, "--cache_features: expected a frozen vision tower"),
        ({"augment": True}, "--cache_features: expected --no-augment with it"),
        ({"freeze_mode": "all_but_head", "state_noise": 0.1}, "--cache_features: expected --state_noise 0"),
    ],
)
def test_what_has_no_lasting_features(tiny_dataset, tmp_path, changes, message):
    config = settings(tiny_dataset, tmp_path / "run", tmp_path, cache_features=True, **changes)
    with pytest.raises(ConfigError, match=message):
        check_flags(config).refuse()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pretrained_source": "huggingface", "pretrained_path": ()},
            r"--freeze_mode all_but_head: expected a whole model \(--pretrained_source checkpoint or bundle\), got hug",
        ),
        ({"vqa_data": "questions.json"}, "--freeze_mode all_but_head: expected no --vqa_data with it"),
        ({"lora_rank": 2}, "--lora_rank: expected 0 with --freeze_mode all_but_head, got 2"),
    ],
)
def test_what_a_head_alone_cannot_be_trained_with(tiny_dataset, tmp_path, changes, message):
    config = settings(tiny_dataset, tmp_path / "run", tmp_path, freeze_mode="all_but_head", **changes)
    with pytest.raises(ConfigError, match=message):
        check_flags(config).refuse()


def test_answers_do_not_pass_the_value_head(tmp_path):
    config = AlignmentConfig.of(freeze_mode="all_but_head", checkpoint_dir=tmp_path / "run")
    with pytest.raises(ConfigError, match="--freeze_mode: expected one that trains what answers pass"):
        check_flags(config).refuse()
