"""A run on cached features of the frozen tower. Oracle: the same run on the pictures."""

import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from pistar_vf.errors import ConfigError
from pistar_vf.inference import features
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
    monkeypatch.setattr(features, "_build", lambda *args: pytest.fail("computed again"))
    run_training(settings(tiny_dataset, tmp_path / "again", frame_cache_dir, cache_features=True))
    assert losses(tmp_path / "again") == losses(tmp_path / "features")


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
    ],
)
def test_what_has_no_lasting_features(tiny_dataset, tmp_path, changes, message):
    config = settings(tiny_dataset, tmp_path / "run", tmp_path, cache_features=True, **changes)
    with pytest.raises(ConfigError, match=message):
        check_flags(config).refuse()
