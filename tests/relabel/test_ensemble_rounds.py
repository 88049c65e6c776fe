"""Who scores what in an ensemble: every episode by all models that have not seen it."""

import dataclasses
from pathlib import Path

import pytest

from pistar_vf.inference.predictor import ValuePredictor
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.models import ScoringModel, ensemble_rounds


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
