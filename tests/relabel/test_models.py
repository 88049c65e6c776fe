"""Who scores which episode, and what a checkpoint's digest covers."""

import dataclasses
import shutil

import pytest

from pistar_vf.checkpoints.provenance import RecordedDataset, TrainedOn
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel import models
from pistar_vf.relabel.models import checkpoint_digest, load_scoring_models

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def dataset(trained_run):
    return load_lerobot(trained_run.config.data_dir)


@pytest.fixture
def with_training_sets(trained_run, monkeypatch):
    """Copies of the checkpoint's model that claim to be trained on other episodes."""

    def patch(**trained_on):
        original = models.load_any_value_model(trained_run.checkpoint)

        def load(path, **options):
            changes = trained_on[path.name]
            spec = dataclasses.replace(original.spec, **changes)
            return type(original)(spec, original.params, original.tokenizer)

        monkeypatch.setattr(models, "find_checkpoint", lambda path: path)
        monkeypatch.setattr(models, "checkpoint_digest", lambda path: path.name)
        monkeypatch.setattr(models, "load_any_value_model", load)

    return patch


def trained(dataset, *episodes):
    return {"trained_on": TrainedOn((RecordedDataset(dataset.name, train=episodes),))}


def test_one_model_scores_everything(trained_run, dataset):
    (model,) = load_scoring_models([trained_run.checkpoint], dataset)
    assert model.episodes == {episode.index for episode in dataset.episodes}
    assert model.trained_on == set(model.predictor.spec.trained_on.datasets[0].train)


def test_folds_score_what_they_have_not_seen(dataset, with_training_sets, tmp_path):
    with_training_sets(a=trained(dataset, 0, 1, 2), b=trained(dataset, 3, 4, 5))
    first, second = load_scoring_models([tmp_path / "a", tmp_path / "b"], dataset)
    assert first.episodes == {3, 4, 5}
    assert second.episodes == {0, 1, 2}
    assert not first.episodes & first.trained_on
    assert not second.episodes & second.trained_on


def test_an_episode_that_all_models_know_is_refused(dataset, with_training_sets, tmp_path):
    with_training_sets(a=trained(dataset, 0, 1, 2, 3), b=trained(dataset, 3, 4, 5))
    with pytest.raises(ConfigError, match=r"got none for episodes \[3\] \(1 in all\)"):
        load_scoring_models([tmp_path / "a", tmp_path / "b"], dataset)


def test_a_fold_of_another_dataset_is_refused(dataset, with_training_sets, tmp_path):
    other = {"trained_on": TrainedOn((RecordedDataset("other", train=(0,)),))}
    with_training_sets(a=trained(dataset, 0), b=other)
    with pytest.raises(ConfigError, match=r"its value_spec.json holds none of them"):
        load_scoring_models([tmp_path / "a", tmp_path / "b"], dataset)


def test_a_model_of_several_datasets(dataset, with_training_sets, tmp_path):
    parts = (RecordedDataset("other", train=(0, 1)), RecordedDataset(dataset.name, train=(4, 5)))
    several = {"trained_on": TrainedOn(parts)}
    with_training_sets(a=several)
    (model,) = load_scoring_models([tmp_path / "a"], dataset)
    assert model.trained_on == {4, 5}


def test_folds_must_mean_the_same(dataset, with_training_sets, tmp_path):
    with_training_sets(a=trained(dataset, 0, 1, 2), b={**trained(dataset, 3, 4, 5), "image_fit": "stretch"})
    with pytest.raises(CheckpointError, match="expected the same image_fit as"):
        load_scoring_models([tmp_path / "a", tmp_path / "b"], dataset)


def test_the_digest_covers_names_and_contents(trained_run, tmp_path):
    copy = tmp_path / "step_00000004"
    shutil.copytree(trained_run.checkpoint, copy)
    assert checkpoint_digest(copy) == checkpoint_digest(trained_run.checkpoint)
    spec = copy / "value_spec.json"
    spec.write_bytes(spec.read_bytes().replace(b'"pad"', b'"pat"'))
    changed = checkpoint_digest(copy)
    assert changed != checkpoint_digest(trained_run.checkpoint)
    spec.rename(copy / "other.json")
    assert checkpoint_digest(copy) not in (changed, checkpoint_digest(trained_run.checkpoint))
