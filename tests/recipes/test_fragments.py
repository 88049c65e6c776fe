"""Fragments are in no part of a split, in no target, and in no normaliser; and `label` leaves their values empty."""

import numpy as np
import pytest
from support.labelled_sets import label, write

from pistar_vf.curation.merge import merge_datasets
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.labels.split import whole_episodes
from pistar_vf.labels.targets import read_targets
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes.label import run_label
from pistar_vf.recipes.label_config import LabelConfig
from pistar_vf.recipes.split import split_dataset
from pistar_vf.recipes.targets import training_targets
from pistar_vf.returns import Normaliser, Outcome
from pistar_vf.testing.tiny import tiny_train_config

S, F, PIECE = Outcome.SUCCESS, Outcome.FAILURE, Outcome.FRAGMENT


@pytest.fixture
def dagger(tmp_path):
    """As `lerobot-rollout` records it: a cut of 4 frames, a window of corrections, a cut that holds a correction."""
    driven = ([False] * 4, [True] * 5, [False, True, True])
    return write(tmp_path / "dagger", [{"intervention": np.array(own)} for own in driven])


@pytest.fixture
def mixed(tmp_path, dagger):
    """Three whole episodes (success, failure, success), labelled, then the three pieces, labelled as such."""
    whole = label(write(tmp_path / "raw"), tmp_path / "whole").root
    run_label(LabelConfig(dagger.root, tmp_path / "pieces", source="lerobot_dagger"))
    return load_lerobot(
        merge_datasets([load_lerobot(whole), load_lerobot(tmp_path / "pieces")], tmp_path / "mixed", progress=False)
    )


def config_of(dataset, tmp_path, **changes):
    return tiny_train_config(dataset.root, tmp_path / "run", source="lerobot_dagger", **changes)


def test_label_leaves_the_values_of_fragments_empty(mixed, dagger, tmp_path, capsys):
    values = mixed.read_column("value_label")
    assert np.isfinite(values[:12]).all()
    assert np.isnan(values[12:]).all()
    assert mixed.read_column("intervention")[12:].tolist() == [0] * 4 + [1] * 5 + [0, 1, 1]
    assert mixed.read_column("adv_ind")[16:21].tolist() == ["positive"] * 5
    run_label(LabelConfig(dagger.root, tmp_path / "again", source="lerobot_dagger", timeout_as="failure"))
    assert np.isnan(load_lerobot(tmp_path / "again").read_column("value_label")).all()  # never a failure
    told = capsys.readouterr().out
    assert "0 successes, 0 failures, 3 fragments (not trained on)" in told
    assert "--source lerobot_dagger" in told


@pytest.mark.parametrize("rule", ["dataset", "episode_ramp", "paper"])
def test_the_targets_of_whole_episodes_are_as_without_fragments(mixed, tmp_path, rule):
    (found,) = training_targets(config_of(mixed, tmp_path, target=rule), [mixed])
    alone = read_targets(load_lerobot(tmp_path / "whole"), rule)
    np.testing.assert_array_equal(found.labels[:12], alone.labels)
    assert np.isnan(found.labels[12:]).all()
    assert found.normaliser == alone.normaliser
    assert found.fragments == {3, 4, 5}
    assert [found.outcomes[index] for index in range(3)] == [S, F, S]


def test_fragments_make_no_task_longer(tmp_path):
    """The longest piece is longer than any whole episode."""
    dataset = write(tmp_path / "set", metadata=[{"end": word} for word in ("success", "fragment", "failure")])
    settings = tiny_train_config(dataset.root, tmp_path / "run", target="paper", outcome_column="end")
    (found,) = training_targets(settings, [dataset])
    assert found.normaliser == Normaliser("paper", {"push": 4})
    run_label(LabelConfig(dataset.root, tmp_path / "labelled", outcome_column="end", target="paper"))
    np.testing.assert_allclose(
        load_lerobot(tmp_path / "labelled").read_column("value_label")[:4], [-0.75, -0.5, -0.25, 0]
    )


SPLITS = {
    "fraction": {"val_interval": 2, "val_fraction": 0.4},
    "ratios": {"val_interval": 2, "train_ratio": 0.4, "val_ratio": 0.3, "test_ratio": 0.3},
    "fold": {"val_interval": 2, "folds": 3, "fold": 1},
    "no validation": {"val_interval": 0},
    "named to hold out": {"val_interval": 2, "val_episodes": "2-5"},
    "named to train on": {"val_interval": 0, "train_episodes": "0-4"},
}


@pytest.mark.parametrize("name", SPLITS)
def test_fragments_are_in_no_part(mixed, tmp_path, name):
    config = config_of(mixed, tmp_path, **SPLITS[name])
    (targets,) = training_targets(config, [mixed])
    split = split_dataset(config, mixed, targets)
    used = sorted(episode.index for part in (split.train, split.val, split.test) for episode in part)
    assert used == [0, 1, 2]


def test_fragments_alone_are_refused(mixed, dagger, tmp_path):
    pieces = load_lerobot(tmp_path / "pieces")
    (targets,) = training_targets(config_of(pieces, tmp_path), [pieces])
    with pytest.raises(LabelError, match=r"episodes whose end is known, got 3 fragments and nothing else; merge whole"):
        whole_episodes(pieces, targets.labels, targets.outcomes)
    config = config_of(mixed, tmp_path, val_interval=0, train_episodes="3-5")
    (targets,) = training_targets(config, [mixed])
    with pytest.raises(
        ConfigError, match=r"no episode is left to train on: .* or --train_episodes names fragments alone"
    ):
        split_dataset(config, mixed, targets)
    with pytest.raises(LabelError, match="expected whole episodes to measure tasks by, got fragments alone"):
        run_label(LabelConfig(dagger.root, tmp_path / "other", source="lerobot_dagger", target="paper"))
    assert not (tmp_path / "other").exists()


def test_a_task_of_fragments_alone_needs_no_length():
    paper = Normaliser("paper", {"push": 4})
    targets = paper.targets(np.array([4, 5]), ["push", "pull"], [S, PIECE])
    np.testing.assert_allclose(targets[:4], [-0.75, -0.5, -0.25, 0])
    assert np.isnan(targets[4:]).all()
    assert np.isnan(paper.rewards(np.array([5]), ["pull"], [PIECE])[:4]).all()
    with pytest.raises(LabelError, match="got 'pull'; their values have no unit"):
        paper.targets(np.array([5]), ["pull"], [F])
