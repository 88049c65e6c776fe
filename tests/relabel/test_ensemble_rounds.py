"""Who scores what in an ensemble: every episode by all models that have not seen it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pistar_vf.inference.predictor import ValuePredictor
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.models import ScoringModel, ensemble_rounds, scored_anew
from pistar_vf.relabel.values import ValueTable


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    """The first so many of six episodes."""
    whole = load_lerobot(tiny_dataset)
    return lambda count: dataclasses.replace(whole, episodes=whole.episodes[:count])


def model(name, trained_on):
    nobody = ValuePredictor.__new__(ValuePredictor)  # the rounds ask no model for values
    return ScoringModel(Path(name), name, nobody, frozenset(), frozenset(trained_on))


def scorers(rounds, episode):
    """Names of the models that score an episode, round by round."""
    return ["".join(m.digest for m in models if episode in m.episodes) for models in rounds]


def test_new_episodes_are_scored_by_everyone(dataset):
    rounds = ensemble_rounds([model("a", ()), model("b", ()), model("c", ())], dataset(2))
    assert scorers(rounds, 0) == scorers(rounds, 1) == ["a", "b", "c"]


def test_nobody_scores_what_it_has_seen(dataset):
    """Two folds of two seeds: each episode has two models that have not seen it."""
    models = [model("a", [0, 1]), model("b", [2, 3]), model("c", [0, 1]), model("d", [2, 3])]
    rounds = ensemble_rounds(models, dataset(4))
    assert [scorers(rounds, episode) for episode in range(4)] == [["b", "d"]] * 2 + [["a", "c"]] * 2


def test_fewer_models_take_turns_and_known_episodes_have_all(dataset):
    models = [model("a", [0, 2]), model("b", [2]), model("c", [0, 2])]
    rounds = ensemble_rounds(models, dataset(3))
    assert scorers(rounds, 0) == ["b", "b", "b"]
    assert scorers(rounds, 1) == scorers(rounds, 2) == ["a", "b", "c"]
    assert all(dataclasses.replace(m, episodes=frozenset()) in models for own in rounds for m in own)


def test_an_episode_with_one_model_has_no_second_opinion(dataset):
    """Episode 0 has b alone, which scores it twice; the same checkpoint given twice is one model."""
    first_two = dataset(2)
    rounds = ensemble_rounds([model("a", [0]), model("b", ())], first_two)
    lengths = [episode.length for episode in first_two.episodes]
    anew = scored_anew(rounds, first_two)
    assert np.flatnonzero(anew).tolist() == list(range(lengths[0], sum(lengths)))
    assert not scored_anew(rounds[:1], first_two).any()
    assert not scored_anew(ensemble_rounds([model("a", ()), model("a", ())], first_two), first_two).any()
    values = [np.full(sum(lengths), value, np.float32) for value in (-0.5, -0.3)]
    tables = [ValueTable(Path("values"), value, np.full((len(value), 1), 1.0), {}) for value in values]
    second = ValueTable.combine(tables, "mean", anew).second
    assert second.by == "another model"
    np.testing.assert_array_equal(second.value, np.where(anew, np.float32(-0.3), np.nan))
