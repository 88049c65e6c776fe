"""One compiled model for validation and prediction: against one plain call of it."""

import jax
import numpy as np
import pytest
from support.plain_values import plain_values

from pistar_vf.inference.evaluate import Evaluator, FrameSample
from pistar_vf.inference.forward import compiled_forward
from pistar_vf.inference.predict import FramePredictor, frame_source
from pistar_vf.inference.predictor import ValuePredictor, load_value_model
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.sharding import create_mesh, replicated

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def model(trained_run):
    """With random weights on top, so that V differs from frame to frame."""
    trained, rng = load_value_model(trained_run.checkpoint), np.random.default_rng(0)
    moved = jax.tree.map(lambda x: np.asarray(x) + 0.3 * rng.standard_normal(x.shape, np.float32), trained.params)
    return ValuePredictor(trained.spec, moved, trained.tokenizer)


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    return load_lerobot(tiny_dataset)


@pytest.fixture(scope="module")
def plain(model, dataset, frame_cache_dir):
    return plain_values(model, dataset, read_value_labels(dataset), frame_cache_dir)


@pytest.fixture(scope="module")
def table(model, dataset, frame_cache_dir):
    return frame_source(model, dataset, labels=read_value_labels(dataset), cache_dir=frame_cache_dir).table()


def test_everyone_measures_with_the_same_program(model, dataset, table, plain, monkeypatch):
    """Validation, prediction and relabelling trace the model once for one batch size."""
    compiled_forward.cache_clear()
    traced = []
    apply = ValueFunction.apply

    def counting(self, params, observation, *rest):
        traced.append(observation.tokenized_prompt.shape[0])
        return apply(self, params, observation, *rest)

    monkeypatch.setattr(ValueFunction, "apply", counting)
    mesh, rows = create_mesh(), np.arange(20)  # two batches and a half
    sample = FrameSample(rows=rows, episode=np.zeros(20, np.int32))
    evaluator = Evaluator(ValueFunction(model.spec.model), table, sample, 8 * mesh.size, mesh, 0)
    placed = jax.device_put(flatten(model.params), replicated(mesh))  # as in training
    validated = evaluator.frames(placed, {})
    predictor = FramePredictor(model, 8)
    measured = predictor.metrics(table, rows)
    relabelled = np.concatenate([value for value, _ in FramePredictor(model, 8).values(table, rows)])
    assert traced == [8 * mesh.size]
    for found in (validated["value"], measured["value"], relabelled):
        np.testing.assert_allclose(found, plain.value[:20], atol=1e-5)
    np.testing.assert_array_equal(measured["cross_entropy"], validated["cross_entropy"])


def test_other_images_and_other_states_change_v(model, table, plain):
    """Of the row before it in the list; the first one takes the last one's."""
    rows = np.arange(0, 40, 5)
    predictor = FramePredictor(model, 8)
    found = predictor.with_images_of_others(table, rows)
    batch, other = table.gather(rows), table.gather(np.roll(rows, 1))
    observation = batch.observation.replace(images=other.observation.images)
    logits = np.asarray(jax.jit(ValueFunction(model.spec.model).apply)(model.params, observation), np.float64)
    expected = np.exp(logits) @ np.linspace(-1, 0, 201) / np.exp(logits).sum(1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - plain.value[rows]).max() > 1e-3


def test_an_even_sample(dataset):
    rows = EpisodeRows(dataset.episodes[1:3])
    sample = FrameSample.of(rows, 5)
    np.testing.assert_array_equal(sample.rows, rows.at(np.linspace(0, len(rows) - 1, 5).round().astype(int)))
    assert sorted(set(sample.episode.tolist())) == [0, 1]
