"""Which dataset is meant, and in what unit its targets come."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.labelled_sets import in_frames

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.errors import ConfigError, DatasetError, LabelError
from pistar_vf.evaluation.config import EvaluationConfig
from pistar_vf.evaluation.source import evaluation_targets, open_source
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.returns import Normaliser, Outcome, recap_columns
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def config(trained_run):
    return EvaluationConfig.of(checkpoint=trained_run.checkpoint.parent)


@pytest.fixture(scope="module")
def spec(trained_run):
    return load_value_model(trained_run.checkpoint).spec


def opened(config, **changes):
    return open_source(config.replace(**changes)).dataset.root


def test_the_dataset_of_training_is_remembered(config, tiny_dataset):
    source = open_source(config)
    assert (source.dataset.root, source.checkpoint.parent) == (tiny_dataset, config.checkpoint / "best")


def test_a_dataset_that_moved_must_be_named(trained_run, tiny_dataset, tmp_path):
    checkpoint = Path(shutil.copytree(trained_run.checkpoint, tmp_path / "step_00000004"))
    path = checkpoint / "value_spec.json"
    path.write_text(path.read_text().replace(str(tiny_dataset), str(tmp_path / "gone")))
    config = EvaluationConfig.of(checkpoint=checkpoint)
    with pytest.raises(ConfigError, match=r"--data_dir: expected it, as .*trained on labelled, then at .*gone\); pass"):
        open_source(config)
    assert opened(config, data_dir=str(tiny_dataset)) == tiny_dataset


@pytest.mark.parametrize("layout", ["tiny_dataset", "tiny_dataset_v30"])
def test_the_published_scripts_folders(config, request, layout):
    root = request.getfixturevalue(layout)
    parquet_dir = next((root / "data").rglob("*.parquet")).parent
    video_root = root / "videos"
    assert opened(config, parquet_dir=parquet_dir, video_root=video_root).resolve() == root.resolve()


def test_folders_without_metadata(config, tiny_dataset, tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    for path in (tiny_dataset / "data").rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.append_column("task", pa.array(["push"] * len(table))), tables / path.name)
    folders = {"parquet_dir": tables, "video_root": tiny_dataset / "videos", "cache_dir": tmp_path / "cache"}
    dataset = open_source(config.replace(**folders)).dataset
    assert dataset.root.is_relative_to(tmp_path / "cache")
    assert dataset.content_digests == load_lerobot(tiny_dataset).content_digests


def test_folders_that_are_no_datasets(config, tiny_dataset, tmp_path):
    with pytest.raises(DatasetError, match=r"--parquet_dir .*: expected parquet files in it or below it, found none"):
        open_source(config.replace(parquet_dir=tmp_path))
    with pytest.raises(
        DatasetError, match=r"--parquet_dir .*videos: expected a folder with parquet files of .*, such as "
    ):
        open_source(config.replace(parquet_dir=tiny_dataset / "videos"))
    with pytest.raises(ConfigError, match=r"--video_root .*: expected a folder with files of .*, such as .*mp4; leave"):
        open_source(config.replace(video_root=tmp_path))


def test_a_video_root_of_a_dataset_without_videos(config, tmp_path):
    columns = {**recap_columns(3, Outcome.FAILURE), "observation.state": np.zeros((3, 2), np.float32)}
    episode = EpisodeData(columns, {"observation.images.front": np.zeros((3, 8, 8, 3), np.uint8)}, "push")
    root = write_lerobot_v21(tmp_path / "stills", [episode], fps=10, storage="image")
    with pytest.raises(
        ConfigError, match=r"--video_root .*: expected a folder with files of .*stills, but it has none"
    ):
        open_source(config.replace(data_dir=str(root), video_root=root))


def test_two_datasets(config, tiny_dataset, tiny_dataset_v30):
    with pytest.raises(ConfigError, match=r"expected one dataset, got --data_dir .* and --parquet_dir .*; pass only"):
        open_source(config.replace(data_dir=str(tiny_dataset), parquet_dir=tiny_dataset_v30 / "data"))


def test_a_dataset_without_the_cameras(config, tiny_dataset, tmp_path):
    copy = Path(shutil.copytree(tiny_dataset, tmp_path / "copy"))
    info = copy / "meta" / "info.json"
    info.write_text(info.read_text().replace("observation.images.wrist", "observation.images.hand"))
    with pytest.raises(DatasetError, match=r"cameras of training, it lacks observation.images.wrist; it has .*hand"):
        open_source(config.replace(data_dir=str(copy)))


# --- targets ---------------------------------------------------------------------------------------------------


def test_labels_of_the_models_convention_are_taken_as_they_are(config, spec, tiny_dataset):
    dataset = load_lerobot(tiny_dataset)
    targets = evaluation_targets(config, dataset, spec)
    np.testing.assert_array_equal(targets.labels, read_value_labels(dataset))


def test_a_convention_that_the_data_cannot_tell_is_the_models_own(config, spec, tiny_dataset):
    dataset = load_lerobot(tiny_dataset)
    expected = read_value_labels(dataset)
    for names in (("recap", "libero_rollout"), ("libero_rollout", "recap")):
        found = evaluation_targets(config, dataset, dataclasses.replace(spec, label_conventions=names))
        np.testing.assert_array_equal(found.labels, expected)
        assert found.conventions == ("recap",)


def test_other_labels_are_computed_in_the_models_unit(config, spec, tiny_dataset):
    """By the paper's rule with another dataset's maximum lengths; its failures are -1 all the same."""
    dataset = load_lerobot(tiny_dataset)
    lengths = dict.fromkeys(dataset.prompts, 500)
    scaled = dataclasses.replace(spec, normaliser=Normaliser("paper", lengths), label_conventions=("paper",))
    targets = evaluation_targets(config.replace(outcome_column="outcome"), dataset, scaled)
    for episode in dataset.episodes:
        own = targets.labels[episode.start : episode.start + episode.length]
        outcome = read_outcomes(dataset, outcome_column="outcome")[episode.index]
        if outcome is Outcome.SUCCESS:
            np.testing.assert_allclose(own, -np.arange(episode.length)[::-1] / 500, atol=1e-6)
        elif outcome is Outcome.FAILURE:
            assert (own == -1).all()
        else:
            assert np.isnan(own).all()
    timeouts = [e.index for e in dataset.episodes if e.metadata["outcome"] == "timeout"]
    assert [episode.index for episode in targets.timeouts.episodes] == timeouts


def test_labels_in_frames_are_computed_in_the_models_unit(config, spec, tiny_dataset, tmp_path):
    raw = load_lerobot(in_frames(tiny_dataset, tmp_path / "nttg", -1000.0))
    np.testing.assert_array_equal(
        evaluation_targets(config, raw, spec).labels, read_value_labels(load_lerobot(tiny_dataset))
    )


def test_a_dataset_without_labels_needs_outcomes(config, spec, tiny_dataset):
    raw = load_lerobot(tiny_dataset.parent / "raw")
    with pytest.raises(LabelError, match="expected the column 'value_label'"):
        evaluation_targets(config, raw, spec)
    targets = evaluation_targets(config.replace(outcome_column="outcome"), raw, spec)
    labelled = read_value_labels(load_lerobot(tiny_dataset))
    known = np.isfinite(targets.labels)
    np.testing.assert_allclose(targets.labels[known], labelled[known], atol=1e-6)


def test_labels_of_another_unknown_kind(config, spec, tiny_dataset):
    strange = dataclasses.replace(spec, normaliser=None, label_conventions=())
    with pytest.raises(LabelError, match=r"convention 'unknown' in column 'value_label', as the model .*, got others"):
        evaluation_targets(config, load_lerobot(tiny_dataset), strange)


def test_a_time_out_that_was_labelled_so(config, spec, tiny_dataset, tmp_path):
    dataset = load_lerobot(tiny_dataset.parent / "raw")
    outcomes = read_outcomes(dataset, outcome_column="outcome")
    copy = write_labelled_copy(dataset, tmp_path / "open", outcomes, timeout_as="bootstrap", progress=False)
    with pytest.raises(LabelError, match="if the episode timed out, say so with --outcome_column or --outcome_file"):
        evaluation_targets(config, load_lerobot(copy), spec)
    said = config.replace(outcome_column="outcome")
    assert len(evaluation_targets(said, load_lerobot(copy), spec).timeouts.episodes) == sum(
        outcome is Outcome.TIMEOUT for outcome in outcomes.values()
    )
