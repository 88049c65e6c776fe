"""Who was trained on what: by content, whatever the folder is called; by its name where nothing else is known."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from pistar_vf.checkpoints.provenance import RecordedDataset, SplitRule, TrainedOn, recorded_parts, seen_episodes
from pistar_vf.curation.merge import merge_datasets
from pistar_vf.labels.split import SplitRatios
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

PARTS = {"train": (0, 2), "val": (1,), "test": (3,)}


def written(folder, seed, column="observation.state", still=False):
    """Four episodes of five frames; of random states, or of a robot that does not move."""
    rng = np.random.default_rng(seed)
    states = np.zeros((4, 5, 3)) if still else rng.normal(size=(4, 5, 3))
    episodes = [EpisodeData({column: state.astype(np.float32)}, {}, "push") for state in states]
    return load_lerobot(write_lerobot_v21(folder / "rollouts", episodes, fps=10))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return written(tmp_path_factory.mktemp("one"), seed=1)


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """Other data in a folder of the same name."""
    return written(tmp_path_factory.mktemp("two"), seed=2)


@pytest.fixture(scope="module")
def trained_on(dataset):
    return TrainedOn((RecordedDataset.of(dataset, "one/rollouts", **PARTS),), num_frames=20)


def test_the_training_data_itself(trained_on, dataset):
    assert recorded_parts(trained_on, dataset) == PARTS
    assert seen_episodes(trained_on, dataset) == {0, 2}


def test_a_renamed_copy_is_recognised(trained_on, dataset, tmp_path):
    shutil.copytree(dataset.root, tmp_path / "backup")
    copy = load_lerobot(tmp_path / "backup")
    assert copy.name == "backup"
    assert recorded_parts(trained_on, copy) == PARTS
    assert seen_episodes(trained_on, copy) == {0, 2}


def test_other_data_of_the_same_name_is_not_taken_for_it(trained_on, another):
    assert another.name == "rollouts"
    assert recorded_parts(trained_on, another) == {}
    assert seen_episodes(trained_on, another) == frozenset()


def test_in_a_merged_dataset_the_episodes_have_other_numbers(trained_on, dataset, another, tmp_path):
    merge_datasets([another, dataset], tmp_path / "merged", progress=False)
    merged = load_lerobot(tmp_path / "merged")
    assert recorded_parts(trained_on, merged) == {"train": (4, 6), "val": (5,), "test": (7,)}
    assert seen_episodes(trained_on, merged) == {4, 6}


def test_of_several_training_datasets_each_is_found(dataset, another):
    both = TrainedOn(
        (RecordedDataset.of(another, "a", train=(0, 1, 2, 3)), RecordedDataset.of(dataset, "b", train=(3,), val=(0,)))
    )
    assert recorded_parts(both, dataset) == {"train": (3,), "val": (0,), "test": ()}
    assert seen_episodes(both, another) == {0, 1, 2, 3}


def test_a_validation_dataset_is_a_val_part(trained_on, dataset, another):
    validated = TrainedOn(trained_on.datasets, RecordedDataset.of(another, "later", val=(0, 1)))
    assert recorded_parts(validated, another) == {"train": (), "val": (0, 1), "test": ()}
    assert recorded_parts(validated, dataset) == PARTS
    assert seen_episodes(validated, another) == frozenset()


def test_episodes_of_one_content_are_told_apart_by_their_numbers(tmp_path):
    """And where the numbers do not help, all of them are taken for known."""
    still = written(tmp_path, seed=0, still=True)
    assert len(set(still.content_digests.values())) == 1
    recorded = TrainedOn((RecordedDataset.of(still, "still", train=(0,), val=(1, 2, 3)),))
    assert seen_episodes(recorded, still) == {0}
    shutil.copytree(still.root, tmp_path / "copy")
    merge_datasets([still, load_lerobot(tmp_path / "copy")], tmp_path / "merged", progress=False)
    assert seen_episodes(recorded, load_lerobot(tmp_path / "merged")) == {0, 4, 5, 6, 7}


def test_without_digests_the_name_decides_and_that_is_said(dataset, another, caplog):
    old = TrainedOn((RecordedDataset("rollouts", train=(0, 2)),))
    assert seen_episodes(old, dataset) == seen_episodes(old, another) == {0, 2}
    assert "known by the name of their folder alone, 'rollouts', not by their content" in caplog.text
    caplog.clear()
    assert seen_episodes(TrainedOn((RecordedDataset("demos", train=(0, 2)),)), dataset) == frozenset()
    assert not caplog.text


def test_a_dataset_without_content_is_known_by_name(trained_on, tmp_path, caplog):
    strange = written(tmp_path, seed=1, column="observation.force")
    assert seen_episodes(trained_on, strange) == {0, 2}
    assert "known by the name of their folder alone" in caplog.text


def test_where_nobody_knows_all_may_have_been_seen(dataset):
    assert recorded_parts(None, dataset) == {}
    assert seen_episodes(None, dataset) == {0, 1, 2, 3}


RULE = SplitRule(SplitRatios(0.5, 0.25, 0.25), seed=7)
ONE = RecordedDataset("a", "x/a", train=(0, 2), val=(1,), test=(3,), digests={0: "00", 1: "01", 2: "02", 3: "03"})
TWO = RecordedDataset("b", "x/b", train=(5,), digests={5: "05"})
LATER = RecordedDataset("later", "y/later", val=(1, 4), digests={1: "11", 4: "14"})


@pytest.mark.parametrize(
    "trained_on",
    [
        TrainedOn((ONE,)),
        TrainedOn((dataclasses.replace(ONE, val=()),), LATER, num_frames=9, split=RULE),
        TrainedOn((ONE, TWO), num_frames=12, weights=(1.0, 0.5)),
        TrainedOn((ONE, TWO), num_frames=12),
    ],
)
def test_there_and_back(trained_on):
    assert TrainedOn.from_facts(json.loads(json.dumps(trained_on.facts()))) == trained_on


def test_a_person_can_read_it():
    """The keys that `value_spec.json` and `split.json` have had from the start, spelled out here."""
    facts = TrainedOn((ONE,), num_frames=9, split=RULE).facts()
    assert facts == {
        "name": "a",
        "path": "x/a",
        "train_episodes": [0, 2],
        "val_episodes": [1],
        "test_episodes": [3],
        "digests": {"0": "00", "1": "01", "2": "02", "3": "03"},
        "split": {"train": 0.5, "val": 0.25, "test": 0.25, "seed": 7, "stratified_by": ["outcome", "task"]},
        "num_frames": 9,
        "val_dataset": None,
        "data_weight": [],
    }


def test_what_older_versions_wrote():
    several = {"name": ["a", "b"], "path": ["x/a", "x/b"], "train_episodes": [[0], [5]], "val_episodes": [[1], []]}
    assert TrainedOn.from_facts(several).datasets == (
        RecordedDataset("a", "x/a", train=(0,), val=(1,)),
        RecordedDataset("b", "x/b", train=(5,)),
    )
    validated = {"name": "a", "train_episodes": [0], "val_episodes": [1], "val_dataset": "y/later/"}
    assert TrainedOn.from_facts(validated) == TrainedOn(
        (RecordedDataset("a", train=(0,)),), RecordedDataset("later", "y/later/", val=(1,))
    )
