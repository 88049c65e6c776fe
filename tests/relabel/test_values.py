"""Streamed values are those of one call of the model, are computed once, and survive an interruption."""

import dataclasses
import logging

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest
from support.plain_values import plain_values

from pistar_vf.errors import LabelError
from pistar_vf.frames import cache, shards
from pistar_vf.inference import predict
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel import values
from pistar_vf.relabel.models import load_scoring_models
from pistar_vf.relabel.values import compute_values

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def dataset(trained_run):
    return load_lerobot(trained_run.config.data_dir)


@pytest.fixture(scope="module")
def models(trained_run, dataset):
    return load_scoring_models([trained_run.checkpoint], dataset)


@pytest.fixture(scope="module")
def compute(dataset, models, tmp_path_factory):
    """`compute_values` with an empty cache of frames, so that shards are decoded for themselves."""
    empty = tmp_path_factory.mktemp("empty")

    def call(folder, **changes):
        cameras = models[0].predictor.spec.camera_keys
        settings = {"cache_dir": empty, "num_workers": 0, "progress": False, **changes}
        return compute_values(dataset, models, cameras, folder, **settings)

    return call


@pytest.fixture(scope="module")
def expected(dataset, models, frame_cache_dir):
    return plain_values(models[0].predictor, dataset, read_value_labels(dataset), frame_cache_dir).value


def test_streamed_in_shards_like_one_call_of_the_model(compute, expected, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_SHARD_FRAMES", 60)  # a shard for every episode or two
    found = compute(tmp_path / "values", batch_size=7)
    np.testing.assert_allclose(found.value, expected, atol=1e-6)
    assert found.probs.shape == (dataset.num_frames, 201)
    np.testing.assert_allclose(found.probs.astype(np.float64).sum(axis=1), 1.0, atol=2e-3)  # float16
    atoms = np.linspace(-1, 0, 201)
    np.testing.assert_allclose(found.probs.astype(np.float64) @ atoms, expected, atol=2e-3)


def test_frames_that_were_decoded_already_are_used(compute, expected, frame_cache_dir, tmp_path, monkeypatch):
    def decode_nothing(*_, **__):
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache, "run_jobs", decode_nothing)
    found = compute(tmp_path / "values", cache_dir=frame_cache_dir)
    np.testing.assert_allclose(found.value, expected, atol=1e-6)


def test_the_table_says_which_frame_is_which(compute, dataset, tmp_path):
    found = compute(tmp_path / "values")
    table = pq.read_table(found.path).to_pydict()
    assert table["value"] == found.value.tolist()
    lengths = [episode.length for episode in dataset.episodes]
    assert table["episode_index"] == np.repeat([e.index for e in dataset.episodes], lengths).tolist()
    assert table["frame_index"] == np.concatenate([np.arange(n) for n in lengths]).tolist()


def test_a_second_call_computes_nothing(compute, tmp_path, monkeypatch, caplog):
    with caplog.at_level(logging.INFO):
        first = compute(tmp_path / "values")
    assert "its first batch is compiled before the bar moves" in caplog.text
    caplog.clear()
    monkeypatch.setattr(values, "FramePredictor", None)
    with caplog.at_level(logging.INFO):
        second = compute(tmp_path / "values")
    assert "compiled" not in caplog.text
    np.testing.assert_array_equal(second.value, first.value)
    assert second.probes == first.probes


def test_an_interrupted_run_goes_on_where_it_stopped(compute, expected, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_SHARD_FRAMES", 60)
    scored = []
    score = values._Store.score

    def stopping(self, shard, *rest):
        if len(scored) == 2:
            raise KeyboardInterrupt
        score(self, shard, *rest)
        scored.extend(episode.index for episode in shard.episodes)

    with monkeypatch.context() as patch:
        patch.setattr(values._Store, "score", stopping)
        with pytest.raises(KeyboardInterrupt):
            compute(tmp_path / "values")
    done, scored[:] = list(scored), []

    def counting(self, shard, *rest):
        score(self, shard, *rest)
        scored.extend(episode.index for episode in shard.episodes)

    monkeypatch.setattr(values._Store, "score", counting)
    found = compute(tmp_path / "values")
    assert sorted(done + scored) == [episode.index for episode in dataset.episodes]
    assert done
    assert scored
    np.testing.assert_allclose(found.value, expected, atol=1e-6)


def test_each_frame_is_encoded_once(compute, dataset, tmp_path, monkeypatch):
    """Besides those of the image probe, which comes last."""
    counted = []
    original = predict.FramePredictor.values

    def counting(self, table, rows):
        counted.append(len(rows))
        return original(self, table, rows)

    monkeypatch.setattr(predict.FramePredictor, "values", counting)
    monkeypatch.setattr(shards, "_SHARD_FRAMES", 60)
    compute(tmp_path / "values")
    assert sum(counted[:-1]) == dataset.num_frames


def test_values_that_are_not_finite_are_refused(compute, models, dataset, tmp_path, monkeypatch):
    def broken(self, table, rows):
        yield np.full(len(rows), np.nan, np.float32), np.zeros((len(rows), 201), np.float16)

    monkeypatch.setattr(predict.FramePredictor, "values", broken)
    with pytest.raises(LabelError, match="V of frame 0 is not finite"):
        compute(tmp_path / "values")


def test_the_probe_sees_a_model_that_reads_images(compute, models, tmp_path):
    probe = compute(tmp_path / "values").probes[0]
    assert probe.mean_change > 0
    assert 8 <= probe.num_frames <= 256


def test_the_probe_sees_a_blind_model(dataset, models, tmp_path, frame_cache_dir):
    """A model whose image projection is zero."""
    predictor = models[0].predictor
    zeros = {name: np.zeros_like(leaf) for name, leaf in predictor.params["img_projection"].items()}
    blind = type(predictor)(predictor.spec, {**predictor.params, "img_projection": zeros}, predictor.tokenizer)
    model = dataclasses.replace(models[0], predictor=blind)
    found = compute_values(
        dataset, [model], predictor.spec.camera_keys, tmp_path / "v", cache_dir=frame_cache_dir, progress=False
    )
    assert found.probes[0].mean_change < 1e-6


def test_a_run_that_stopped_before_its_probe_goes_on(compute, expected, tmp_path, monkeypatch):
    """All values are there, the table is not."""

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(values, "_probe", stop)
        with pytest.raises(KeyboardInterrupt):
            compute(tmp_path / "values")
    np.testing.assert_allclose(compute(tmp_path / "values").value, expected, atol=1e-6)


def test_a_fold_that_scores_nothing(dataset, models, expected, tmp_path, frame_cache_dir):
    """A checkpoint more than the folds need."""
    spare = dataclasses.replace(models[0], episodes=frozenset())
    cameras = models[0].predictor.spec.camera_keys
    settings = {"cache_dir": frame_cache_dir, "progress": False}
    found = compute_values(dataset, [spare, models[0]], cameras, tmp_path / "values", **settings)
    np.testing.assert_allclose(found.value, expected, atol=1e-6)
    assert list(found.probes) == [1]


def test_each_fold_is_probed(dataset, models, tmp_path, frame_cache_dir):
    """The second one is blind; random weights on top, as four steps of training see next to nothing."""
    spec, tokenizer = models[0].predictor.spec, models[0].predictor.tokenizer
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: np.asarray(leaf) + 0.3 * rng.standard_normal(leaf.shape, np.float32), models[0].predictor.params
    )
    sighted = dataclasses.replace(models[0], predictor=type(models[0].predictor)(spec, params, tokenizer))
    zeros = {name: np.zeros_like(leaf) for name, leaf in params["img_projection"].items()}
    blind = type(sighted.predictor)(spec, {**params, "img_projection": zeros}, tokenizer)
    first = frozenset(episode.index for episode in dataset.episodes[::2])
    folds = [
        dataclasses.replace(sighted, episodes=first),
        dataclasses.replace(sighted, predictor=blind, episodes=sighted.episodes - first),
    ]
    settings = {"cache_dir": frame_cache_dir, "progress": False}
    probes = compute_values(dataset, folds, spec.camera_keys, tmp_path / "v", **settings).probes
    assert probes[0].mean_change > 1e-3
    assert probes[1].mean_change < 1e-6


def test_a_table_of_an_earlier_version_is_probed_again(compute, tmp_path, monkeypatch):
    """It held one probe for all models; its values are kept."""
    path = compute(tmp_path / "values").path
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"image_probe": b"{}"}), path)
    monkeypatch.setattr(values._Store, "score", None)
    assert list(compute(tmp_path / "values").probes) == [0]
