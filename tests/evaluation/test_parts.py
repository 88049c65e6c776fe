"""Which episodes are evaluated: what the checkpoint remembers, and what the flags say."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pistar_vf.checkpoints.provenance import TrainedOn, recorded_parts
from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.evaluation.config import EvaluationConfig
from pistar_vf.evaluation.parts import choose_part
from pistar_vf.labels.split import SplitRatios, episode_strata, split_by_ratio
from pistar_vf.labels.targets import read_targets
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.testing.tiny import tiny_model_config

CONFIG = EvaluationConfig.of(checkpoint=Path("c"))
DRAWN = {"train": 0.5, "val": 0.25, "test": 0.25, "seed": 42, "stratified_by": ["outcome", "task"]}


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    return load_lerobot(tiny_dataset)


@pytest.fixture(scope="module")
def targets(dataset):
    return read_targets(dataset)


def spec(**facts):
    """Of a checkpoint that was trained on `labelled`; only its facts about the dataset matter here."""
    recorded = {"name": "labelled", "train_episodes": [0, 2, 4], "val_episodes": [1, 3], "test_episodes": [5]}
    return ValueSpec(
        model=tiny_model_config(),
        camera_keys={},
        image_fit="pad",
        state=None,
        tokenizer_sha256="",
        label_column="value_label",
        label_conventions=("recap",),
        trained_on=TrainedOn.from_facts({**recorded, "split": None, "val_dataset": None, **facts}),
    )


def chosen(config, facts, dataset, targets=None):
    part = choose_part(config, facts, dataset, targets)
    return part.name, [episode.index for episode in part.episodes], [episode.index for episode in part.train]


@pytest.mark.parametrize(
    ("split", "expected"), [("test", [5]), ("val", [1, 3]), ("train", [0, 2, 4]), ("all", [0, 1, 2, 3, 4, 5])]
)
def test_the_checkpoint_knows_its_parts(dataset, split, expected):
    config = CONFIG.replace(split=split)
    assert chosen(config, spec(), dataset) == (split, expected, [0, 2, 4])
    assert choose_part(config, spec(), dataset, None).seen == {0, 2, 4}


@pytest.mark.parametrize("facts", [{"test_episodes": []}, {"test_episodes": None}])
def test_without_a_test_part_it_is_the_val_part(dataset, facts, caplog):
    assert chosen(CONFIG, spec(**facts), dataset) == ("val", [1, 3], [0, 2, 4])
    assert caplog.messages[-1:] == ["the checkpoint was trained without a test part: evaluating on its val part"]


def test_nothing_was_held_out(dataset):
    with pytest.raises(ConfigError, match=r"--split test: expected held-out .* trained without any; pass --split all"):
        choose_part(CONFIG, spec(test_episodes=[], val_episodes=[]), dataset, None)


def test_a_dataset_that_the_model_does_not_know(dataset):
    stranger = spec(name="another")
    with pytest.raises(
        ConfigError, match=r"split is known, got labelled; the model was trained on another\. Pass --sp"
    ):
        choose_part(CONFIG, stranger, dataset, None)
    every = CONFIG.replace(split="all")
    assert chosen(every, stranger, dataset) == ("all", [0, 1, 2, 3, 4, 5], [])


def test_one_of_several_training_datasets(dataset):
    facts = spec(
        name=["another", "labelled"],
        train_episodes=[[7], [0, 1, 2]],
        val_episodes=[[8], [3]],
        test_episodes=[[], [4, 5]],
    )
    assert recorded_parts(facts.trained_on, dataset) == {"train": (0, 1, 2), "val": (3,), "test": (4, 5)}


def test_a_validation_dataset_is_a_val_part(dataset):
    """And the episodes of the training data with the same numbers are not."""
    facts = spec(name="another", val_dataset="some/where/labelled", val_episodes=[0, 1])
    assert recorded_parts(facts.trained_on, dataset) == {"train": (), "val": (0, 1), "test": ()}
    other = spec(val_dataset="another", val_episodes=[0, 1]).trained_on
    assert recorded_parts(other, dataset) == {"train": (0, 2, 4), "val": (), "test": (5,)}


def ratios(**changes):
    given = {"train_ratio": 0.5, "val_ratio": 0.25, "test_ratio": 0.25, **changes}
    return CONFIG.replace(**given)


def test_the_ratios_of_training_change_nothing(dataset):
    assert chosen(ratios(), spec(split=DRAWN), dataset) == ("test", [5], [0, 2, 4])


@pytest.mark.parametrize(
    ("changes", "got"),
    [({"split_seed": 7}, "seed 7"), ({"train_ratio": 0.25, "test_ratio": 0.5}, "train 0.25, val 0.25, test 0.5")],
)
def test_other_ratios_than_those_of_training_are_refused(dataset, changes, got):
    message = rf"expected those of training, train 0.5, val 0.25, test 0.25, seed 42, got .*{got}.*; leave them out"
    with pytest.raises(ConfigError, match=message):
        choose_part(ratios(**changes), spec(split=DRAWN), dataset, None)


@pytest.mark.parametrize("facts", [{"name": "another"}, {}])
def test_a_split_that_nobody_recorded_is_drawn_again(dataset, targets, facts):
    part = choose_part(ratios(split_seed=3), spec(**facts), dataset, targets)
    strata = episode_strata(dataset, targets.labels, None)
    train, _, test = split_by_ratio(dataset.episodes, SplitRatios(0.5, 0.25, 0.25), 3, strata)
    assert (part.episodes, part.train) == (test, train)
    assert part.seen == (frozenset() if facts else {0, 2, 4})


def test_a_split_cannot_be_drawn_without_labels(dataset):
    with pytest.raises(ConfigError, match="expected a dataset with value labels, to draw the split in equal shares"):
        choose_part(ratios(), spec(), dataset, None)


def test_episodes_that_are_gone(dataset):
    with pytest.raises(ConfigError, match=r"--split test: the dataset has no episodes \[17\]"):
        choose_part(CONFIG, spec(test_episodes=[5, 17]), dataset, None)


def test_a_copy_of_a_training_episode_is_not_held_out(tiny_dataset, monkeypatch, caplog):
    """Episode 3 is episode 4 under another number; the model was trained on 4 and validated on 1 and 3."""
    dataset = load_lerobot(tiny_dataset)
    digests = {**{index: str(index) for index in range(6)}, 3: "4"}
    monkeypatch.setitem(dataset.__dict__, "content_digests", digests)
    (own,) = spec().trained_on.datasets
    known = TrainedOn((dataclasses.replace(own, digests=digests),))
    part = choose_part(CONFIG.replace(split="val"), dataclasses.replace(spec(), trained_on=known), dataset, None)
    assert [episode.index for episode in part.episodes] == [1, 3]
    assert "1 of the 2 episodes of --split val have the states and actions of training episodes: [3]; a" in caplog.text
    caplog.clear()
    choose_part(CONFIG.replace(split="train"), dataclasses.replace(spec(), trained_on=known), dataset, None)
    assert not caplog.text


def test_timeouts_leave_a_part(dataset):
    part = choose_part(CONFIG.replace(split="val"), spec(), dataset, None)
    assert [episode.index for episode in part.without(frozenset({1, 4})).episodes] == [3]
    assert [episode.index for episode in part.without(frozenset({1, 4})).train] == [0, 2]
    with pytest.raises(LabelError, match="--split val: expected episodes whose end is known, got 2 time-outs or fragm"):
        part.without(frozenset({1, 3}))


def test_shares_are_checked():
    with pytest.raises(ConfigError, match="expected shares that sum to 1"):
        CONFIG.replace(train_ratio=0.5).part.ratios  # noqa: B018
    assert np.isclose(ratios().part.ratios.test, 0.25)
